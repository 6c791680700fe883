//! The arguments of Execute (OMA LwM2M Core 1.1, section "Execute"; `rpc.md` 6.8).
//!
//! ```text
//! arglist = arg *( "," arg )
//! arg     = DIGIT [ "=" "'" *CHAR "'" ]
//! CHAR    = "!" / %x23-26 / %x28-5B / %x5D-7E
//! ```

/// Checks arguments against the grammar; no arguments at all are valid. They are sent as they stand.
///
/// # Errors
/// The detail for [`crate::endpoint::text::execute_arguments_invalid`].
pub(super) fn check(arguments: &str) -> Result<(), String> {
    let list = read(arguments)?;
    for (index, (digit, value)) in list.iter().enumerate() {
        if list.iter().take(index).any(|(earlier, _)| earlier == digit) {
            return Err(format!(
                "Unable to build Arguments : digit [{digit}] exists more than once "
            ));
        }
        if let Some(value) = value.filter(|value| !value.bytes().all(is_value_byte)) {
            return Err(format!(
                "Invalid Argument value [{value}] for digit [{digit}] "
            ));
        }
    }
    Ok(())
}

/// Splits arguments into digits and values.
fn read(arguments: &str) -> Result<Vec<(char, Option<&str>)>, String> {
    let mut list = Vec::new();
    if arguments.is_empty() {
        return Ok(list);
    }
    let mut rest = arguments;
    loop {
        let Some(digit) = rest.chars().next() else {
            return Err(format!(
                "unexpected EOF, expected argument after {arguments}"
            ));
        };
        rest = match rest.strip_prefix(|character: char| character.is_ascii_digit()) {
            Some(rest) => rest,
            None => {
                return Err(format!(
                    "Invalid digit [{digit}] (an integer between 0 and 9 is expected)"
                ));
            }
        };
        let mut value = None;
        if let Some(quoted) = rest.strip_prefix('=') {
            if quoted.is_empty() {
                return Err(UNQUOTED.to_owned());
            }
            let Some(text) = quoted.strip_prefix('\'') else {
                return Err(expected(
                    "opening quote [']",
                    "is expected",
                    arguments,
                    quoted,
                ));
            };
            let (text, behind) = text.split_once('\'').ok_or_else(|| UNQUOTED.to_owned())?;
            value = Some(text);
            rest = behind;
        }
        list.push((digit, value));
        if rest.is_empty() {
            return Ok(list);
        }
        rest = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None => return Err(expected("[,] separator", "expected", arguments, rest)),
        };
    }
}

/// `<what> <verb> at index <n> after [<what stands before>]`
fn expected(what: &str, verb: &str, arguments: &str, rest: &str) -> String {
    let before = arguments.strip_suffix(rest).unwrap_or(arguments);
    let index = before.encode_utf16().count();
    format!("{what} {verb} at index {index} after [{before}]")
}

const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'!' | 0x23..=0x26 | 0x28..=0x5b | 0x5d..=0x7e)
}

const UNQUOTED: &str = "Argument value must end with quote['].";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_digits_with_or_without_a_value() {
        for arguments in [
            "",
            "5",
            "2='60'",
            "0='a',1",
            "0=''",
            "2,0='https://thingsboard.io/docs/reference/lwm2m-api/'",
            "0,1,2,3,4,5,6,7,8,9",
        ] {
            assert_eq!(check(arguments), Ok(()), "{arguments}");
        }
    }

    #[test]
    fn broken_arguments_are_explained() {
        for (arguments, detail) in [
            (
                "'60'",
                "Invalid digit ['] (an integer between 0 and 9 is expected)",
            ),
            (
                "0,1,2,3,4,5,6,7,8,9,60",
                "[,] separator expected at index 21 after [0,1,2,3,4,5,6,7,8,9,6]",
            ),
            (
                "x y",
                "Invalid digit [x] (an integer between 0 and 9 is expected)",
            ),
            ("0,", "unexpected EOF, expected argument after 0,"),
            ("0=a", "opening quote ['] is expected at index 2 after [0=]"),
            ("0=", "Argument value must end with quote[']."),
            ("0='a", "Argument value must end with quote[']."),
            (
                "0,1,0='a'",
                "Unable to build Arguments : digit [0] exists more than once ",
            ),
            ("1='a b'", "Invalid Argument value [a b] for digit [1] "),
        ] {
            assert_eq!(check(arguments), Err(detail.to_owned()), "{arguments}");
        }
    }
}
