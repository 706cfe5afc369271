//! What an application says of itself: in `GET /`, in the OpenAPI document and on the pages that show it.

/// An application as its clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The program's name, for machines.
    pub name: &'static str,
    /// The API's name, for people.
    pub title: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The picture that stands above the reference (`/redoc`): SVG text.
    pub logo: Option<&'static str>,
}

/// The core by itself.
impl Default for About {
    fn default() -> Self {
        Self { name: "bulkhead", title: "Bulkhead", version: env!("CARGO_PKG_VERSION"), logo: None }
    }
}
