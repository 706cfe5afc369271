//! The macro that declares the settings of an extension, one line each.

/// For [`settings!`](crate::settings): the text in upper case. `N` is its length.
#[doc(hidden)]
pub const fn upper<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut rest = text.as_bytes();
    let mut target = bytes.as_mut_slice();
    while let (Some((from, from_rest)), Some((to, to_rest))) = (rest.split_first(), target.split_first_mut())
    {
        *to = from.to_ascii_uppercase();
        rest = from_rest;
        target = to_rest;
    }
    bytes
}

/// Declares the settings of an extension, one line each: a struct that implements
/// [`section::Settings`](crate::section::Settings).
///
/// ```
/// use bulkhead_config::value::{name, seconds};
///
/// bulkhead_config::settings! {
///     /// What can be set for invoices.
///     #[derive(Debug)]
///     pub struct InvoiceSettings of "invoices" {
///         /// Days until a reminder is sent, 1 to 90.
///         reminder_days: u16 = 14 in 1..=90;
///         /// How long the mail server may take to answer, in seconds.
///         mail_secs: std::time::Duration = "10" by seconds(1..=60);
///         /// The sender's name.
///         sender: String = required by name;
///         /// The mail server's password.
///         password: bulkhead_config::Password = secret by str::parse;
///         /// Who gets a copy of each invoice; unset, no copy is sent.
///         copy_to: Option<String> = optional by name;
///     }
/// }
/// assert_eq!(
///     <InvoiceSettings as bulkhead_config::section::Settings>::SPECS[0].variable(),
///     "BULKHEAD_INVOICES_REMINDER_DAYS"
/// );
/// ```
///
/// A line's comment is the setting's help, and names its unit. After `in` stands the range of a number; after `by` a function
/// from `&str` to `Result<T, E>`. `required` settings must be set for `api` and `worker`, `secret` ones too, and their values
/// are in no message.
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])* $vis:vis struct $name:ident of $owner:literal {
            $( $(#[doc = $help:literal])+ $field:ident : $type:ty = $unset:tt $how:ident $values:expr ; )+
        }
    ) => {
        $(#[$meta])*
        $vis struct $name { $( $(#[doc = $help])+ $vis $field: $type, )+ }

        impl $crate::section::Settings for $name {
            const OWNER: &'static str = $owner;
            const SPECS: &'static [$crate::section::Spec] = &[$(
                $crate::settings!(@spec
                    $crate::settings!(@variable $owner $field), concat!($($help),+), $type, $unset $how $values),
            )+];

            fn read(values: &$crate::section::Values<'_>) -> ::core::result::Result<Self, ::std::string::String> {
                ::core::result::Result::Ok(Self { $(
                    $field: $crate::settings!(@read
                        values, $crate::settings!(@variable $owner $field), $type, $unset $how $values),
                )+ })
            }
        }
    };
    (@variable $owner:literal $field:ident) => {{
        const TEXT: &str = concat!("BULKHEAD_", $owner, "_", stringify!($field));
        const BYTES: [u8; TEXT.len()] = $crate::section::upper(TEXT);
        const NAME: &str = match ::core::str::from_utf8(&BYTES) {
            ::core::result::Result::Ok(name) => name,
            ::core::result::Result::Err(_) => "",
        };
        NAME
    }};
    (@spec $variable:expr, $help:expr, $type:ty, required by $values:expr) => {
        $crate::section::Spec::required($variable, $help, |text| {
            let parsed: ::core::result::Result<$type, _> = ($values)(text);
            parsed.map(drop).map_err(|error| ::std::string::ToString::to_string(&error))
        })
    };
    (@spec $variable:expr, $help:expr, $type:ty, secret by $values:expr) => {
        $crate::settings!(@spec $variable, $help, $type, required by $values).secret()
    };
    (@spec $variable:expr, $help:expr, $type:ty, optional by $values:expr) => {
        $crate::section::Spec::required($variable, $help, |text| {
            ($values)(text).map(drop).map_err(|error| ::std::string::ToString::to_string(&error))
        })
        .optional()
    };
    (@spec $variable:expr, $help:expr, $type:ty, $default:literal by $values:expr) => {
        $crate::settings!(@spec $variable, $help, $type, required by $values).default_text($default)
    };
    (@spec $variable:expr, $help:expr, $type:ty, $default:literal in $values:expr) => {
        $crate::settings!(@spec $variable, $help, $type, required by $crate::value::number::<$type>($values))
            .default_number($default)
    };
    (@read $from:ident, $variable:expr, $type:ty, optional by $values:expr) => {
        $from.find($variable, $values)?
    };
    (@read $from:ident, $variable:expr, $type:ty, $unset:tt in $values:expr) => {
        $from.get($variable, $crate::value::number::<$type>($values))?
    };
    (@read $from:ident, $variable:expr, $type:ty, $unset:tt by $values:expr) => {
        $from.get($variable, $values)?
    };
}
