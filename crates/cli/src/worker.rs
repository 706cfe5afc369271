//! `bulkhead worker`.
use anyhow::Result;
use bulkhead_config::Settings;
pub(crate) fn run(_: &Settings, s: bool) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut r = crate::stop::signal_of(s)?;
        r.wait_for(|x| *x).await?;
        Ok(())
    })
}
