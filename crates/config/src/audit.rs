//! Where the heads of audit logs' chains are kept outside of the database.

use std::path::PathBuf;

use url::Url;

/// A place for anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorPlace {
    /// A directory.
    Directory(PathBuf),
}

/// Reads a place.
pub(crate) fn anchor_place(text: &str) -> Result<AnchorPlace, String> {
    let refused = || "not file:///, followed by the path of a directory".to_owned();
    let url = Url::parse(text).map_err(|_url| refused())?;
    let is_plain = url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "file" if is_plain => url.to_file_path().map(AnchorPlace::Directory).map_err(|()| refused()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory() {
        let directory = |text: &str| anchor_place(text).map(|AnchorPlace::Directory(path)| path);
        assert_eq!(directory("file:///var/lib/anchors"), Ok(PathBuf::from("/var/lib/anchors")));
        assert_eq!(directory("file:///with%20blank"), Ok(PathBuf::from("/with blank")));
        for other in ["/var/lib", "file://host/x", "https://example.com", "file:///x?y", "file:///x#y", ""] {
            assert!(directory(other).is_err(), "{other}");
        }
    }
}
