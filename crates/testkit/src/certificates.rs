//! A certificate authority for servers that speak TLS.

use std::{fs, path::Path};

use anyhow::Result;
use bulkhead_servers::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// An authority that nobody else trusts.
pub struct CertificateAuthority(CertifiedIssuer<'static, KeyPair>);

impl CertificateAuthority {
    /// A new one.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests' own");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Makes a certificate for an address or a name and writes what a server needs into a new directory.
    pub fn certify(&self, name: &str, dir: &Path) -> Result<Tls> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.0)?;
        fs::create_dir_all(dir)?;
        let tls = Tls {
            certificate: dir.join("certificate.pem"),
            key: dir.join("key.pem"),
            ca: dir.join("authority.pem"),
        };
        fs::write(&tls.certificate, certificate.pem())?;
        fs::write(&tls.key, key.serialize_pem())?;
        fs::write(&tls.ca, self.pem())?;
        Ok(tls)
    }
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateAuthority")
    }
}
