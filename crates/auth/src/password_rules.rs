//! What may be set as a password.
//!
//! Owns the bounds of its length and the passwords that guessers try first: those that many people use
//! (`assets/common-passwords`) and the names that belong to the account. Refuses rules about kinds of characters, which make
//! people choose `Password1!` (NIST SP 800-63B section 5.1.1.2), and to judge the password of a log-in: those
//! were set before the rule.

use std::ops::RangeInclusive;

use bulkhead_domain::{Email, Slug, TextError};

use crate::password::{LEAST_CHARS, Password};

/// Passwords of 8 characters and more that many people use, in lower case, a line each.
const COMMON: &str = include_str!("../assets/common-passwords/list.txt");

/// Whose password is to be set, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct PasswordOwner<'a> {
    /// The e-mail address of the account.
    pub email: Option<&'a Email>,
    /// The slug of the tenant; `None` for operators.
    pub tenant: Option<&'a Slug>,
}

/// The rules for passwords that are set.
#[derive(Clone, Copy, Debug)]
pub struct PasswordRules {
    least: usize,
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self { least: LEAST_CHARS }
    }
}

impl PasswordRules {
    /// What the fewest characters may be set to. The lower bound is NIST SP 800-63B's (section 5.1.1.1).
    pub const LEAST: RangeInclusive<u16> = 8..=64;

    /// Passwords have at least so many characters, and 8 in any case.
    pub fn new(least: u16) -> Self {
        Self { least: usize::from(least).max(LEAST_CHARS) }
    }

    /// A password that may be set, in the form in which it is hashed; otherwise what is wrong with it, a phrase that follows
    /// the field's name. Its characters are counted in that form.
    pub fn admit(&self, text: &str, owner: &PasswordOwner<'_>) -> Result<Password, TextError> {
        let password = Password::normalised(text)?;
        if password.text().chars().count() < self.least {
            return Err(TextError::TooShort { least: self.least });
        }
        let folded = password.text().to_lowercase();
        if let Some(email) = owner.email {
            if folded.parse::<Email>().is_ok_and(|named| named == *email) {
                return Err(TextError::new("must not be the e-mail address of its account"));
            }
            if folded == email.local_part() {
                return Err(TextError::new(
                    "must not be the name before the @ of its account's e-mail address",
                ));
            }
        }
        if owner.tenant.is_some_and(|slug| slug.as_str() == folded) {
            return Err(Self::IS_SLUG);
        }
        if COMMON.lines().any(|common| common == folded) {
            return Err(TextError::new(
                "must not be one of the passwords that many people use: they are guessed first",
            ));
        }
        Ok(password)
    }

    /// What is wrong with a password that is its tenant's slug.
    pub const IS_SLUG: TextError = TextError::new("must not be the slug of its tenant");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, owner: &PasswordOwner<'_>) -> String {
        PasswordRules::default().admit(text, owner).unwrap_err().to_string()
    }

    #[test]
    fn a_password_has_8_to_256_characters_in_its_form() {
        let nobody = PasswordOwner::default();
        let rules = PasswordRules::default();
        for good in ["8 chars.", "ääääääää", &"x".repeat(256), &"ä".repeat(256), &"a\u{308}".repeat(256)]
        {
            assert!(rules.admit(good, &nobody).is_ok(), "{good:?}");
        }
        for bad in ["1234567", "äääääää", &"a\u{308}".repeat(7), "\u{1112}\u{1161}\u{11ab}123456"] {
            assert_eq!(told(bad, &nobody), "must be at least 8 characters long", "{bad:?}");
        }
        for bad in ["x".repeat(257), "ä".repeat(257), "a\u{308}".repeat(257), "\u{301}".repeat(100_000)] {
            assert_eq!(told(&bad, &nobody), "must be at most 256 characters long");
        }
        assert_eq!(told("", &nobody), "must not be empty");
        assert!(told("nul \0 in it", &nobody).contains("control characters"));
        let strict = PasswordRules::new(15);
        let refused = strict.admit("14 characters.", &nobody).unwrap_err();
        assert_eq!(refused.to_string(), "must be at least 15 characters long");
        assert!(strict.admit("15 characters..", &nobody).is_ok());
        assert!(PasswordRules::new(0).admit("1234567", &nobody).is_err());
    }

    #[test]
    fn spellings_of_a_password_are_one() {
        let admit = |text| PasswordRules::default().admit(text, &PasswordOwner::default()).unwrap();
        assert_eq!(admit("pa\u{308}sswo\u{308}rd"), admit("pässwörd"));
        assert_eq!(admit("eight\u{a0}chars"), admit("eight chars"));
        assert_ne!(admit("Eight chars"), admit("eight chars"));
    }

    #[test]
    fn a_password_that_many_people_use_is_refused_in_any_case() {
        assert_eq!(COMMON.lines().count(), 8_346);
        assert!(
            COMMON.lines().all(|line| line.chars().count() >= LEAST_CHARS && line.to_lowercase() == line)
        );
        for bad in ["12345678", "password", "PassWord1", "QWERTYUIOP", "iloveyou"] {
            assert!(told(bad, &PasswordOwner::default()).contains("many people use"), "{bad}");
        }
        assert!(PasswordRules::default().admit("password of mine", &PasswordOwner::default()).is_ok());
    }

    #[test]
    fn a_password_that_names_its_account_is_refused() {
        let (email, slug) = ("ada.lovelace@bücher.example".parse().unwrap(), "analytical".parse().unwrap());
        let owner = PasswordOwner { email: Some(&email), tenant: Some(&slug) };
        for bad in ["Ada.Lovelace@Bücher.example", "ada.lovelace@xn--bcher-kva.example"] {
            assert_eq!(told(bad, &owner), "must not be the e-mail address of its account");
        }
        assert!(told("Ada.Lovelace", &owner).contains("before the @"));
        assert_eq!(told("Analytical", &owner), "must not be the slug of its tenant");
        for good in ["ada.lovelace@example.com", "analytical engine", "lovelace"] {
            assert!(PasswordRules::default().admit(good, &owner).is_ok(), "{good}");
        }
        for good in ["ada.lovelace", "analytical"] {
            assert!(PasswordRules::default().admit(good, &PasswordOwner::default()).is_ok(), "{good}");
        }
        let spells = |text| Password::normalised(text).unwrap().as_slug();
        assert_eq!((spells("Analytical"), spells("not a slug")), (Some(slug), None));
    }
}
