//! What the platform asks of devices: every command, and every sort of mistake.

use crate::dice::Dice;

/// A command as it is sent.
pub(crate) struct Sample {
    pub(crate) method: &'static str,
    pub(crate) params: String,
    /// Whether readings of [`crate::device::NOTIFIED`] may be given up because of it.
    pub(crate) ends_observations: bool,
}

/// One at random; `number` makes its values unlike any other's.
pub(crate) fn pick(random: &mut Dice, number: usize) -> Sample {
    let index = random.uniform(0..=COMMANDS.len() as u64 - 1) as usize;
    let (method, params) = COMMANDS[index];
    // Rare: it leaves a device silent until it registers again.
    let (method, params) = match method {
        "ObserveCancelAll" if random.uniform(0..=3) > 0 => ("ObserveReadAll", "null"),
        _ => (method, params),
    };
    let params = params.replace("{n}", &number.to_string());
    Sample {
        method,
        params: params
            .replace("{long}", &"long ".repeat(700))
            .replace("{hex}", &"a5".repeat(2500)),
        ends_observations: method == "ObserveCancelAll",
    }
}

/// A command that every device carries out.
pub(crate) fn reading() -> Sample {
    let (method, params) = COMMANDS[0];
    Sample {
        method,
        params: params.to_owned(),
        ends_observations: false,
    }
}

/// The argument of an Execute that carries its number.
pub(crate) fn execute_argument(number: usize) -> String {
    format!("0='{number}'")
}

/// Method and parameters; mistakes come last.
const COMMANDS: [(&str, &str); 44] = [
    ("Read", r#"{"id":"/3_1.2/0/9"}"#),
    ("Read", r#"{"key":"batteryLevel"}"#),
    ("Read", r#"{"id":"/19_1.1/0/0"}"#),
    ("Read", r#"{"id":"/3_1.2/0"}"#),
    (
        "ReadComposite",
        r#"{"ids":["/3_1.2/0/9","/3303_1.1/12/5700"]}"#,
    ),
    ("Discover", r#"{"id":"/3_1.2"}"#),
    ("DiscoverAll", "null"),
    ("Observe", r#"{"id":"/3_1.2/0/9"}"#),
    ("Observe", r#"{"id":"/3303_1.1/12/5700"}"#),
    (
        "ObserveComposite",
        r#"{"ids":["/3_1.2/0/9","/3303_1.1/12/5700"]}"#,
    ),
    ("ObserveReadAll", "null"),
    ("ObserveCancel", r#"{"id":"/3_1.2/0/9"}"#),
    (
        "ObserveCompositeCancel",
        r#"{"ids":["/3_1.2/0/9","/3303_1.1/12/5700"]}"#,
    ),
    ("ObserveCancelAll", "null"),
    ("Execute", r#"{"id":"/3_1.2/0/5","value":"0='{n}'"}"#),
    ("Execute", r#"{"id":"/3_1.2/0/5","value":"0='{n}'"}"#),
    ("WriteReplace", r#"{"id":"/3_1.2/0/15","value":"Zone {n}"}"#),
    (
        "WriteReplace",
        r#"{"id":"/3_1.2/0/15","value":"{long}{n}"}"#,
    ),
    (
        "WriteReplace",
        r#"{"id":"/19_1.1/0/0","value":{"0":"{hex}"}}"#,
    ),
    (
        "WriteUpdate",
        r#"{"id":"/3_1.2/0","value":{"15":"Zone {n}"}}"#,
    ),
    ("WriteComposite", r#"{"nodes":{"/3_1.2/0/15":"Zone {n}"}}"#),
    (
        "WriteAttributes",
        r#"{"id":"/3_1.2/0/9","attributes":{"pmax":100,"pmin":10}}"#,
    ),
    ("Create", r#"{"id":"/19_1.1","value":{"1":5}}"#),
    (
        "Create",
        r#"{"id":"/19_1.1/12","value":{"0":{"0":"00AC"},"1":1}}"#,
    ),
    ("Delete", r#"{"id":"/19_1.1/12"}"#),
    ("Delete", r#"{"id":"/19_1.1/1"}"#),
    ("Read", r#"{"id":"/50/0/1"}"#),
    ("Read", r#"{"key":"nothing"}"#),
    ("Read", "{"),
    ("ReadComposite", r#"{"ids":[]}"#),
    ("Discover", r#"{"id":"/0_1.2/0"}"#),
    ("Observe", r#"{"id":"/3/0/x"}"#),
    ("ObserveComposite", r#"{"ids":["/3_1.2/0/9","/3_1.2/0"]}"#),
    ("ObserveCancel", r#"{"id":"/3_1.2/0/1"}"#),
    (
        "ObserveCompositeCancel",
        r#"{"ids":["/3_1.2/0/1","/3_1.2/0/2"]}"#,
    ),
    ("Execute", r#"{"id":"/3_1.2/0/9"}"#),
    ("Execute", r#"{"id":"/3_1.2/0/5","value":"60"}"#),
    ("WriteReplace", r#"{"id":"/3_1.2/0/9","value":90}"#),
    ("WriteReplace", r#"{"id":"/3_1.2/0/99","value":1}"#),
    ("WriteUpdate", r#"{"id":"/3_1.2/0"}"#),
    ("WriteComposite", r#"{"nodes":{}}"#),
    ("WriteAttributes", r#"{"id":"/3_1.2/0/9","attributes":{}}"#),
    ("Create", r#"{"id":"/3_1.2/1","value":{"0":{"0":"00AC"}}}"#),
    ("Reboot", "null"),
];
