//! Where the heads of audit logs' chains are kept outside of the database.

use std::path::PathBuf;

use url::Url;

/// A place for anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorPlace {
    /// A directory.
    Directory(PathBuf),
    /// A bucket of S3.
    Bucket {
        /// Its name.
        name: String,
        /// What the names of files in it begin with: empty, or with a slash at the end.
        prefix: String,
    },
}

/// Reads a place.
pub(crate) fn anchor_place(text: &str) -> Result<AnchorPlace, String> {
    let refused =
        || "not file:/// and the path of a directory, nor s3://bucket or s3://bucket/prefix".to_owned();
    let url = Url::parse(text).map_err(|_url| refused())?;
    let is_plain = url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "file" if is_plain => url.to_file_path().map(AnchorPlace::Directory).map_err(|()| refused()),
        // As it was written: the name of a bucket is compared by its letters, and none has an escape.
        "s3" if is_plain => text.strip_prefix("s3://").and_then(bucket).ok_or_else(refused),
        _ => Err(refused()),
    }
}

/// The bucket and the prefix. Both are of characters that are the same in an address and in a signature.
fn bucket(text: &str) -> Option<AnchorPlace> {
    let (name, prefix) = text.split_once('/').unwrap_or((text, ""));
    let of_bucket = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    let of_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'=');
    let is_name = (3..=63).contains(&name.len()) && name.bytes().all(of_bucket);
    let prefix = prefix.trim_end_matches('/');
    let is_word = |word: &str| !word.is_empty() && word != "." && word != ".." && word.bytes().all(of_word);
    let is_prefix = prefix.is_empty() || (prefix.len() <= 512 && prefix.split('/').all(is_word));
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    (is_name && is_prefix).then(|| AnchorPlace::Bucket { name: name.to_owned(), prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_or_a_bucket() {
        let directory = |path: &str| Ok(AnchorPlace::Directory(PathBuf::from(path)));
        assert_eq!(anchor_place("file:///var/lib/anchors"), directory("/var/lib/anchors"));
        assert_eq!(anchor_place("file:///with%20blank"), directory("/with blank"));
        let bucket = |name: &str, prefix: &str| {
            Ok(AnchorPlace::Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
        };
        for text in ["s3://acme-anchors", "s3://acme-anchors/"] {
            assert_eq!(anchor_place(text), bucket("acme-anchors", ""));
        }
        for text in ["s3://a.b-1/live/eu", "s3://a.b-1/live/eu/"] {
            assert_eq!(anchor_place(text), bucket("a.b-1", "live/eu/"));
        }
        for other in [
            "/var/lib",
            "file://host/x",
            "https://example.com",
            "file:///x?y",
            "file:///x#y",
            "",
            "s3://",
            "s3:///x",
            "s3://ab",
            "s3://Acme",
            "s3://key:secret@acme",
            "s3://acme:1/x",
            "s3://acme/a//b",
            "s3://acme/../b",
            "s3://acme/a b",
            "s3://acme/%61",
            "s3://acme?versioning",
        ] {
            assert!(anchor_place(other).is_err(), "{other}");
        }
    }
}
