//! What the documents say, held against the tree: links, settings, names of tests, and the example registry.
#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use lightship::platform::embedded::{EmbeddedSettings, check};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Files below `folder` with this extension; builds and version control left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && !["target", ".git"].contains(&name.to_str().unwrap()) {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found
}

fn documents() -> impl Iterator<Item = (PathBuf, String)> {
    files(Path::new(ROOT), "md").into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    })
}

/// The pieces of a document's prose between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

#[test]
fn relative_links_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in documents() {
        for target in text.split("](").skip(1) {
            let target = target.split([')', '#']).next().unwrap();
            if !target.is_empty()
                && !target.contains("://")
                && !path.parent().unwrap().join(target).exists()
            {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn settings_and_variables_exist() {
    let reference = fs::read_to_string(Path::new(ROOT).join("docs/configuration.md")).unwrap();
    let known: Vec<&str> = quoted(&reference).collect();
    let sections: Vec<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'))
        .collect();
    let is_word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let mut unknown = Vec::new();
    for (path, text) in documents() {
        for piece in quoted(&text) {
            let name = piece.split(['=', ' ']).next().unwrap();
            let setting = name.split_once('.').is_some_and(|(section, rest)| {
                sections.contains(&section) && rest.split('.').all(is_word) && rest != "rs"
            });
            let is_inner = |key: &&str| key.starts_with(&format!("{name}."));
            let variable = ["TB_", "LWM2M_", "ZOOKEEPER_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            if (setting || variable) && !known.contains(&name) && !known.iter().any(is_inner) {
                unknown.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn cargo_run_without_a_name_runs_the_server() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(manifest.contains("\ndefault-run = \"lightship\"\n"));
}

#[test]
fn every_difference_names_tests_that_exist() {
    let folder = Path::new(ROOT).join("docs/compat");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    for path in files(&folder, "md") {
        let name = path.file_name().unwrap().to_str().unwrap();
        if ["README.md", "platform.md", "protocol.md"].contains(&name) {
            continue;
        }
        assert!(index.contains(&format!("({name})")), "{name} is not listed");
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, tests) = text.split_once("**Tests:**").expect(name);
        let mut named = 0;
        for test in tests.split(',') {
            let (test, file) = test
                .trim()
                .strip_prefix('`')
                .and_then(|test| test.strip_suffix(')')?.split_once("` ("))
                .expect(name);
            let source = fs::read_to_string(Path::new(ROOT).join(file)).expect(file);
            assert!(
                source.contains(&format!("fn {test}(")),
                "{name}: {file} has no test {test}"
            );
            named += 1;
        }
        assert!(named > 0, "{name} names no test");
    }
}

/// All sources and tests, one after the other.
fn sources() -> String {
    ["src", "tests"]
        .iter()
        .flat_map(|folder| files(&Path::new(ROOT).join(folder), "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// Whether a row's last cell names tests that exist; false for one that says why it is not done.
fn is_proved(row: &str, proof: &str, sources: &str) -> bool {
    if let Some(reason) = proof.strip_prefix("not done: ") {
        assert!(!reason.is_empty(), "{row}");
        return false;
    }
    let tests: Vec<&str> = quoted(proof).collect();
    assert!(!tests.is_empty(), "{row}");
    for test in tests {
        assert!(sources.contains(&format!("fn {test}(")), "{row}: {test}");
    }
    true
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn every_message_and_sequence_of_the_platform_names_tests_that_exist_or_a_reason() {
    let sources = sources();
    let table = fs::read_to_string(Path::new(ROOT).join("docs/compat/platform.md")).unwrap();
    let mut places = BTreeSet::new();
    let (mut rows, mut open) = (0, 0);
    for line in table.lines().filter(|line| {
        let place = line.strip_prefix("| ").and_then(|rest| rest.chars().next());
        place.is_some_and(|first| first.is_ascii_digit())
    }) {
        let cells = cells(line);
        let (Some(place), Some(proof)) = (cells.first(), cells.last()) else {
            panic!("{line}");
        };
        places.insert((*place).to_owned());
        rows += 1;
        open += usize::from(!is_proved(line, proof, &sources));
    }
    println!("{rows} rows, {open} of them not done");
    let wire = Path::new(ROOT).join("../shared/spec/platform-wire.md");
    let Ok(wire) = fs::read_to_string(wire) else {
        println!("skipped: the description of the platform's records is not here");
        return;
    };
    let named: BTreeSet<&str> = quoted(&table).collect();
    let (_, messages) = wire.split_once("\n### 3.3 ").unwrap();
    let (messages, sequences) = messages.split_once("\n## 4. ").unwrap();
    let messages = messages
        .lines()
        .filter(|line| line.starts_with("**"))
        .flat_map(|line| line.split("**").skip(1).step_by(2))
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let missing: Vec<_> = messages.filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let sequences = sequences
        .lines()
        .filter_map(|line| line.strip_prefix("### 4.")?.split(' ').next());
    let missing: Vec<_> = sequences
        .filter(|number| !places.contains(&format!("4.{number}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_row_of_the_protocol_map_names_tests_that_exist_or_a_reason() {
    let sources = sources();
    let table = fs::read_to_string(Path::new(ROOT).join("docs/compat/protocol.md")).unwrap();
    let mut rows = BTreeSet::new();
    let mut open = 0;
    for line in table.lines().filter(|line| {
        ["| C-", "| O-", "| B-", "| P"]
            .iter()
            .any(|id| line.starts_with(id))
    }) {
        let [id, level, _, proof] = cells(line)[..] else {
            panic!("{line}");
        };
        assert!(rows.insert(id.to_owned()), "{id} twice");
        assert!(["M", "S"].contains(&level), "{line}");
        open += usize::from(!is_proved(line, proof, &sources));
    }
    println!("{} rows, {open} of them not done", rows.len());
    let map = Path::new(ROOT).join("../shared/spec/protocol.md");
    let Ok(map) = fs::read_to_string(map) else {
        println!("skipped: the protocol map is not here");
        return;
    };
    let named = map.lines().filter_map(|line| {
        let cells = cells(line);
        let (id, level) = (*cells.first()?, *cells.last()?);
        let is_row = ["C-", "O-", "B-"].iter().any(|kind| id.starts_with(kind));
        (is_row && level != "L").then(|| id.to_owned())
    });
    let missing: Vec<_> = named.filter(|id| !rows.contains(id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The acceptance cases of platform commands are numbered 1 to 130, and one came in between.
#[test]
fn every_row_of_the_commands_is_a_test() {
    let mut rows: BTreeSet<String> = (1..=130).map(|number| format!("{number:03}")).collect();
    rows.insert("063b".to_owned());
    let list = Path::new(ROOT).join("../shared/spec/rpc.md");
    match fs::read_to_string(list) {
        Ok(list) => {
            let (_, cases) = list.split_once("\n| # | Fixture ").unwrap();
            let cases = cases.lines().filter_map(|line| {
                let id = line.strip_prefix("| ")?.split(' ').next()?;
                let digits = id.trim_end_matches(|end: char| end.is_ascii_lowercase());
                let number: u8 = digits.parse().ok()?;
                Some(format!("{number:03}{}", id.strip_prefix(digits)?))
            });
            assert_eq!(cases.collect::<BTreeSet<_>>(), rows);
        }
        Err(_) => println!("the list of cases is not here"),
    }
    for row in rows_with_tests("rpc_") {
        rows.remove(&row);
    }
    assert!(rows.is_empty(), "without test: {rows:?}");
}

/// What a platform sees of a device's life (`L`), and what goes wrong in it (`A46` to `A58`, `A77`).
#[test]
fn every_row_of_the_lifecycle_is_a_test() {
    let shown = |kind: &str| -> BTreeSet<u8> {
        let rows = rows_with_tests(kind);
        rows.iter().filter_map(|row| row.parse().ok()).collect()
    };
    let (lifecycle, hostile) = (shown("l"), shown("a"));
    let missing: Vec<u8> = (1..=26).filter(|row| !lifecycle.contains(row)).collect();
    assert!(missing.is_empty(), "L without test: {missing:?}");
    let rows = (46..=58).chain([77]);
    let missing: Vec<u8> = rows.filter(|row| !hostile.contains(row)).collect();
    assert!(missing.is_empty(), "A without test: {missing:?}");
}

/// The rows after which tests are named: of `fn rpc_063b_and_so_on` it is `063b`, when `kind` is `rpc_`.
fn rows_with_tests(kind: &str) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    let sources = ["src", "tests"].map(|folder| files(&Path::new(ROOT).join(folder), "rs"));
    for path in sources.iter().flatten() {
        let source = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        for pair in lines.windows(2) {
            if let ["#[test]", line] = pair
                && let Some(name) = line
                    .strip_prefix("fn ")
                    .and_then(|line| line.strip_prefix(kind))
                && let Some((row, _)) = name.split_once('_')
            {
                rows.insert(row.to_owned());
            }
        }
    }
    rows
}

/// A line "..., `registry/<file>`:" comes before each file of the example.
#[test]
fn the_example_registry_is_valid() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/embedded.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut written = 0;
    for (before, block) in text.split("\n```").zip(text.split("\n```").skip(1)) {
        let Some((_, file)) = before
            .trim_end()
            .strip_suffix("`:")
            .and_then(|before| before.rsplit_once('`'))
        else {
            continue;
        };
        let (_, content) = block.split_once('\n').unwrap();
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        written += 1;
    }
    assert_eq!(written, 4);
    let settings = EmbeddedSettings {
        registry_dir: folder.path().join("registry"),
        ..EmbeddedSettings::default()
    };
    assert_eq!(check(&settings), []);
}
