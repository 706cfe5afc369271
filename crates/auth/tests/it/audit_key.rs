//! The key that signs exports and anchors of audit logs.

use std::sync::Arc;

use anyhow::Result;
use bulkhead_auth::{
    AuditSigner, Signature, Signed,
    audit_key::{audit_jwks, is_signed},
};
use bulkhead_fixtures::TestDb;
use tokio::task::LocalSet;

use crate::{forger, node::Node};

/// What says that it is an anchor is not taken for an export, and the other way round.
#[tokio::test]
async fn a_signature_is_good_for_its_purpose_its_digest_and_its_key_alone() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let (of_us, keyring) = (db.db()?, Arc::new(forger::keyring()));
        let signer = AuditSigner::load(&of_us, &keyring).await?;
        let again = AuditSigner::load(&of_us, &keyring).await?;
        let keys = audit_jwks(&of_us).await?;
        for (what, other) in [(Signed::Export, Signed::Anchor), (Signed::Anchor, Signed::Export)] {
            let signature = again.sign(what, "00ff")?;
            assert_eq!(signature, signer.sign(what, "00ff")?, "there is one key");
            assert!(is_signed(&keys, what, "00ff", &signature));
            assert!(!is_signed(&keys, other, "00ff", &signature));
            assert!(!is_signed(&keys, what, "00fe", &signature));
            assert!(!is_signed(&serde_json::json!({ "keys": [] }), what, "00ff", &signature));
            let renamed = Signature { kid: "another".to_owned(), ..signature };
            assert!(!is_signed(&keys, what, "00ff", &renamed));
        }
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Whoever can write the one table and read the other has no key more than before.
#[tokio::test]
async fn a_key_that_signs_access_tokens_is_none_of_the_audit_logs() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        db.sql(
            "INSERT INTO platform.audit_keys (kid, public_jwk, sealed_private) \
             SELECT kid, public_jwk, sealed_private FROM platform.signing_keys",
        )
        .await?;
        assert!(AuditSigner::load(&node.db, &Arc::new(forger::keyring())).await.is_err());
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
