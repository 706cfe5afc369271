//! What the mails say.
//!
//! Owns the texts, which are the files of `templates/`, and what is put into them. A letter is one text: its HTML is made from
//! it. Refuses to let what is put in become anything but text: a line break does not survive in a subject, markup none in HTML.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

/// A link that does something for its holder once.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The address, with the secret in it.
    pub address: &'a str,
    /// When it stops working by itself.
    pub expires_at: DateTime<Utc>,
}

/// A mail, by what it is for. `tenant` is what the tenant is called in it.
#[derive(Clone, Copy, Debug)]
pub enum Letter<'a> {
    /// A person is invited to a tenant.
    Invitation {
        /// The tenant.
        tenant: &'a str,
        /// Leads to the page where they choose a password.
        link: Link<'a>,
    },
    /// A person has registered with a tenant and is to show that the address is theirs.
    Registration {
        /// The tenant.
        tenant: &'a str,
        /// Leads to the page where they confirm.
        link: Link<'a>,
    },
    /// A person has registered with a tenant where the address has an account.
    AlreadyRegistered {
        /// The tenant.
        tenant: &'a str,
    },
    /// A person has forgotten their password.
    PasswordReset {
        /// The tenant.
        tenant: &'a str,
        /// Leads to the page where they choose another one.
        link: Link<'a>,
    },
    /// A person has signed a tenant up and is to show that the address is theirs.
    SignUp {
        /// The tenant's slug: its name could be an advertisement.
        tenant: &'a str,
        /// Leads to the page where they confirm.
        link: Link<'a>,
    },
}

/// A letter as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// The most characters of a tenant's name in a letter.
const LONGEST_NAME: usize = 64;

const LAYOUT: &str = include_str!("../templates/layout.html");

impl Letter<'_> {
    const fn template(&self) -> &'static str {
        match self {
            Self::Invitation { .. } => include_str!("../templates/invitation.txt"),
            Self::Registration { .. } => include_str!("../templates/registration.txt"),
            Self::AlreadyRegistered { .. } => include_str!("../templates/already_registered.txt"),
            Self::PasswordReset { .. } => include_str!("../templates/password_reset.txt"),
            Self::SignUp { .. } => include_str!("../templates/sign_up.txt"),
        }
    }

    pub(crate) fn write(&self) -> Written {
        let (tenant, link) = match *self {
            Self::Invitation { tenant, link }
            | Self::Registration { tenant, link }
            | Self::PasswordReset { tenant, link }
            | Self::SignUp { tenant, link } => (tenant, Some(link)),
            Self::AlreadyRegistered { tenant } => (tenant, None),
        };
        let tenant = one_line(tenant);
        let address = link.map_or("", |link| link.address);
        let expires =
            link.map_or_else(String::new, |link| link.expires_at.format("%-d %B %Y, %H:%M UTC").to_string());
        let values = [("tenant", tenant.as_str()), ("link", address), ("expires", &expires)];
        let (head, body) = self.template().split_once("\n\n").unwrap_or_default();
        let subject = fill(head.trim_start_matches("Subject: "), &values);
        let text = fill(body, &values);
        let escaped = values.map(|(name, value)| (name, escape(value)));
        let mut paragraphs = String::new();
        for paragraph in body.trim().split("\n\n") {
            // Cannot fail: it is written to a string.
            let _ = if paragraph == "{link}" {
                let address = escape(address);
                writeln!(paragraphs, "<p><a href=\"{address}\">{address}</a></p>")
            } else {
                let values = escaped.each_ref().map(|(name, value)| (*name, value.as_str()));
                writeln!(paragraphs, "<p>{}</p>", fill(paragraph, &values))
            };
        }
        let html = fill(LAYOUT, &[("subject", &escape(&subject)), ("paragraphs", paragraphs.trim_end())]);
        Written { subject, text, html }
    }
}

/// What a tenant is called in letters: its name, or its slug where the name could pass for an address or is long. A tenant chooses its
/// name itself, and a mail with a link of its choice in the subject would be an advertisement that we send.
pub fn called<'a>(name: &'a str, slug: &'a str) -> &'a str {
    let has_mark = name.contains(['/', '\\', ':', '@', '<', '>']);
    let mut after_dots = name.split('.').skip(1);
    let has_domain = after_dots.any(|rest| rest.starts_with(char::is_alphanumeric));
    if has_mark || has_domain || name.chars().count() > LONGEST_NAME { slug } else { name }
}

/// The template with each `{name}` replaced by its value, in one pass: what is in a value is never replaced.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled += before;
        let value = after.split_once('}').and_then(|(name, rest)| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, rest))
        });
        rest = match value {
            Some((value, rest)) => {
                filled += value;
                rest
            }
            None => {
                filled.push('{');
                after
            }
        };
    }
    filled + rest
}

/// The text without what could end a line of a header.
fn one_line(text: &str) -> String {
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if ends_line(c) { ' ' } else { c }).collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link<'_> = Link {
        address: "https://app.example.com/invitation#token=bh_iv_1",
        expires_at: DateTime::from_timestamp_millis(1_800_000_000_000).unwrap(),
    };

    fn all(tenant: &str) -> [Letter<'_>; 5] {
        [
            Letter::Invitation { tenant, link: LINK },
            Letter::Registration { tenant, link: LINK },
            Letter::AlreadyRegistered { tenant },
            Letter::PasswordReset { tenant, link: LINK },
            Letter::SignUp { tenant, link: LINK },
        ]
    }

    #[test]
    fn a_letter_is_text_and_the_same_as_html() {
        let Written { subject, text, html } =
            Letter::Invitation { tenant: "Acme & Söhne", link: LINK }.write();
        insta::assert_snapshot!(format!("{subject}\n----\n{text}----\n{html}"), @r#"
            Your invitation to Acme & Söhne
            ----
            You have been invited to join Acme & Söhne.

            Choose a password on this page, and you are in:

            https://app.example.com/invitation#token=bh_iv_1

            The invitation is good until 15 January 2027, 08:00 UTC, and works once. If you did not expect it, ignore it: nothing happens without you.
            ----
            <!doctype html>
            <html lang="en">
            <head><meta charset="utf-8"><title>Your invitation to Acme &amp; Söhne</title></head>
            <body style="font-family: sans-serif; line-height: 1.5; max-width: 36em; margin: 2em auto; padding: 0 1em">
            <p>You have been invited to join Acme &amp; Söhne.</p>
            <p>Choose a password on this page, and you are in:</p>
            <p><a href="https://app.example.com/invitation#token=bh_iv_1">https://app.example.com/invitation#token=bh_iv_1</a></p>
            <p>The invitation is good until 15 January 2027, 08:00 UTC, and works once. If you did not expect it, ignore it: nothing happens without you.</p>
            </body>
            </html>
            "#);
    }

    #[test]
    fn every_letter_is_filled_and_has_its_link() {
        for letter in all("acme") {
            let Written { subject, text, html } = letter.write();
            for part in [&subject, &text, &html] {
                assert!(!part.is_empty() && !part.contains("{tenant}") && !part.contains("{link}"), "{part}");
                assert!(!part.contains("{expires}") && !part.contains("Subject:"), "{part}");
            }
            let is_notice = matches!(letter, Letter::AlreadyRegistered { .. });
            for part in [&text, &html] {
                assert_eq!(part.contains(LINK.address), !is_notice, "{part}");
            }
        }
    }

    #[test]
    fn a_name_that_could_be_an_address_is_not_sent() {
        for good in ["Acme", "Acme Inc.", "Acme & Söhne", "St. Mary's", "アクメ"] {
            assert_eq!(called(good, "acme"), good);
        }
        for bad in ["Log in at evil.example", "https://evil", "a@b", "<b>", "x. y.z", &"a".repeat(65)] {
            assert_eq!(called(bad, "acme"), "acme", "{bad}");
        }
    }

    #[test]
    fn what_is_put_in_stays_text() {
        let hostile = "Acme\r\nBcc: all@example.com\u{2028}<script>alert(\"1\")</script> {link}";
        for letter in all(hostile) {
            let Written { subject, text, html } = letter.write();
            assert!(!subject.contains(['\r', '\n', '\u{2028}']), "{subject:?}");
            assert!(subject.contains("{link}") && text.contains("{link}"), "a value is not filled again");
            assert!(!text.contains("\nBcc:") && !html.contains("<script>"), "{html}");
        }
    }
}
