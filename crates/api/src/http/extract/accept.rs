//! Which form of an answer the client likes best (RFC 9110 section 12.5.1).

use actix_web::http::header::{ACCEPT, HeaderMap};

/// A range of media types that the client takes, and how much it likes them, in thousandths.
struct Range<'a> {
    kind: &'a str,
    subkind: &'a str,
    quality: u16,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subkind) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(Self { kind, subkind, quality: quality.map_or(1000, thousandths) })
    }

    /// How closely it names a media type; `None` when it does not cover it.
    fn closeness(&self, kind: &str, subkind: &str) -> Option<u8> {
        let is = |ours: &str, theirs: &str| ours.eq_ignore_ascii_case(theirs);
        match (self.kind, self.subkind) {
            (of, sub) if is(of, kind) && is(sub, subkind) => Some(2),
            (of, "*") if is(of, kind) => Some(1),
            ("*", "*") => Some(0),
            _ => None,
        }
    }
}

/// A quality value, in thousandths. A text that is no quality value counts as if it were not there.
fn thousandths(text: &str) -> u16 {
    let quality = text.parse::<f32>().ok().filter(|quality| (0.0..=1.0).contains(quality));
    // At most 1000.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    quality.map_or(1000, |quality| (quality * 1000.0).round() as u16)
}

/// The media type on offer that the client prefers. Of types that it likes equally, the one that it names first wins,
/// then the one that is offered first. A client that takes none of them gets the one that is offered first: an answer
/// that can be read after all is worth more than a refusal.
pub(crate) fn preferred<'a>(headers: &HeaderMap, offers: &[&'a str]) -> &'a str {
    let lines: Vec<&str> = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<Range<'_>> =
        lines.iter().flat_map(|line| line.split(',')).filter_map(Range::read).collect();
    let liking = |offer: &str| {
        let (kind, subkind) = offer.split_once('/').unwrap_or((offer, ""));
        let covering = ranges
            .iter()
            .enumerate()
            .filter_map(|(place, range)| Some((range.closeness(kind, subkind)?, place, range.quality)));
        // The closest range decides, and of equally close ones the first.
        let (closeness, place, quality) =
            covering.max_by_key(|(closeness, place, _)| (*closeness, usize::MAX - place))?;
        let place = if closeness == 2 { place } else { usize::MAX };
        (quality > 0).then_some((quality, usize::MAX - place))
    };
    let mut best = offers.first().copied().unwrap_or_default();
    let mut most = None;
    for offer in offers {
        let liked = liking(offer);
        if liked > most {
            (best, most) = (offer, liked);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn quality_then_closeness_then_order_decide() {
        for (accept, expected) in [
            (&[][..], "application/json"),
            (&["*/*"], "application/json"),
            (&["text/csv"], "text/csv"),
            (&["TEXT/CSV; header=present"], "text/csv"),
            (&["text/*"], "text/csv"),
            (&["application/json, text/csv"], "application/json"),
            (&["text/csv, application/json"], "text/csv"),
            (&["text/csv", "application/json"], "text/csv"),
            (&["text/csv;q=0.9, application/json;q=0.1"], "text/csv"),
            (&["text/csv;q=0.1, application/json;q=0.9"], "application/json"),
            (&["text/csv;q=0, application/json"], "application/json"),
            (&["text/csv; q=0.000, */*"], "application/json"),
            (&["application/json;q=0, */*"], "text/csv"),
            (&["*/*, text/csv"], "text/csv"),
            (&["*/*, text/csv;q=0.5"], "application/json"),
            (&["text/*;q=0.3, text/csv;q=0.8, application/json;q=0.5"], "text/csv"),
            (&["text/csv;q=much"], "text/csv"),
            (&["image/png"], "application/json"),
            (&["text/csv;q=0"], "application/json"),
            (&["", ",", "csv", "/"], "application/json"),
        ] {
            let mut headers = HeaderMap::new();
            for line in accept {
                headers.append(ACCEPT, HeaderValue::from_static(line));
            }
            assert_eq!(preferred(&headers, &["application/json", "text/csv"]), expected, "{accept:?}");
        }
    }
}
