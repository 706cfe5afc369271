//! A check, at start, that tokens can be verified at all.
//!
//! jsonwebtoken finds its cryptographic library when it is first used, and panics there when the build holds none or
//! two; a compiler does not notice. Here that happens before the first request. Owns one known answer, refuses nothing.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};

/// The RS256 example of RFC 7515 appendix A.2: signing input, signature and modulus.
const MESSAGE: &[u8] = b"eyJhbGciOiJSUzI1NiJ9.\
eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujG\
bds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOL\
n6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_I\
oypGlUPQGe77Rw";
const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL\
-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBE\
Ma2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb\
54h4FRWyuXpoQ";

/// The cryptographic library does not work as it must; nothing may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic self-test failed: {0}")]
pub struct SelfTestFailed(&'static str);

/// Makes aws-lc the library that jsonwebtoken uses, then signs and verifies once. Call it before anything else here.
/// That an actual signing key works is proven each time one is opened.
pub fn self_test() -> Result<(), SelfTestFailed> {
    // Refused only when a library was installed before; whichever it is, the known answer decides.
    let _already_installed = crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let public =
        DecodingKey::from_rsa_components(MODULUS, "AQAB").map_err(|_key| SelfTestFailed("public key"))?;
    let verify = |message: &[u8]| crypto::verify(SIGNATURE, message, &public, Algorithm::RS256);
    if !matches!(verify(MESSAGE), Ok(true)) {
        return Err(SelfTestFailed("a good signature was refused"));
    }
    if !matches!(verify(b"another message"), Ok(false)) {
        return Err(SelfTestFailed("a bad signature was accepted"));
    }
    let signed = crypto::sign(MESSAGE, &EncodingKey::from_secret(&[7; 32]), Algorithm::HS256);
    if signed.is_ok_and(|signature| {
        crypto::verify(&signature, MESSAGE, &DecodingKey::from_secret(&[7; 32]), Algorithm::HS256)
            .unwrap_or(false)
    }) {
        Ok(())
    } else {
        Err(SelfTestFailed("what was signed does not verify"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_passes() {
        assert_eq!(self_test(), Ok(()));
        assert_eq!(self_test(), Ok(()), "it may be called again");
    }
}
