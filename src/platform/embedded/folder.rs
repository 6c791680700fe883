//! The registry folder: reads the files that changed, keeps the last good content of each.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    lwm2m::model::{ObjectModel, ddf},
    platform::{profile::TransportConfiguration, time::UnixMillis},
};

use super::{accounts, device::DeviceEntry, package::PackageEntry};

/// The folder and what was last read from it.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    files: BTreeMap<PathBuf, File>,
    /// Why the folder could not be listed the last time.
    unreadable: Option<Problem>,
}

#[derive(Debug)]
struct File {
    stamp: Stamp,
    /// The last content that could be read; none if there never was any.
    content: Option<Content>,
}

/// What tells a changed file: modification time and length; `None` while it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

/// What a file holds.
#[derive(Debug)]
pub(super) enum Content {
    /// `devices/*.json`
    Devices {
        /// The entries.
        entries: Vec<DeviceEntry>,
        /// Whether the file is a list (else it is one entry).
        listed: bool,
    },
    /// `models/*.xml`
    Models(Vec<Arc<ObjectModel>>),
    /// `packages/*.json`
    Package(Box<PackageEntry>),
    /// `profiles/*.json`
    Profile(Box<TransportConfiguration>),
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: PathBuf,
    place: Place,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File,
    Position { line: usize, column: usize },
    Pointer(String),
}

impl Folder {
    /// A folder of which nothing has been read.
    pub(super) const fn new(root: PathBuf) -> Self {
        Self {
            root,
            files: BTreeMap::new(),
            unreadable: None,
        }
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What was read, by path.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&Path, &Content)> {
        self.files
            .iter()
            .filter_map(|(path, file)| Some((path.as_path(), file.content.as_ref()?)))
    }

    /// The devices with their file and the JSON pointer of their entry.
    pub(super) fn devices(&self) -> impl Iterator<Item = (&Path, String, &DeviceEntry)> {
        self.contents().flat_map(|(file, content)| {
            let (entries, listed) = match content {
                Content::Devices { entries, listed } => (entries.as_slice(), *listed),
                Content::Models(_) | Content::Package(_) | Content::Profile(_) => (&[][..], false),
            };
            entries.iter().enumerate().map(move |(index, entry)| {
                let pointer = if listed {
                    format!("/{index}")
                } else {
                    String::new()
                };
                (file, pointer, entry)
            })
        })
    }

    /// Reads new and changed files, forgets removed ones. Returns whether any content differs from before; what cannot
    /// be read goes to `problems` once, and the former content stays.
    pub(super) fn refresh(&mut self, problems: &mut Vec<Problem>) -> bool {
        let found = match self.scan() {
            Ok(found) => found,
            Err(problem) => {
                if self.unreadable.as_ref() != Some(&problem) {
                    problems.push(problem.clone());
                }
                self.unreadable = Some(problem);
                return false;
            }
        };
        self.unreadable = None;
        let before = self.files.len();
        self.files.retain(|path, _| found.contains_key(path));
        let mut changed = self.files.len() != before;
        for (path, (kind, stamp)) in found {
            let former = self.files.remove(&path);
            if former.as_ref().is_some_and(|file| file.stamp == stamp) {
                self.files.extend(former.map(|file| (path, file)));
                continue;
            }
            let content = match kind.read(&path) {
                Ok(content) => {
                    changed = true;
                    Some(content)
                }
                Err(problem) => {
                    problems.push(problem);
                    former.and_then(|file| file.content)
                }
            };
            self.files.insert(path, File { stamp, content });
        }
        changed
    }

    /// The files that there are. A folder that vanishes as a whole is an error, not the deletion of all devices.
    fn scan(&self) -> Result<BTreeMap<PathBuf, (Kind, Stamp)>, Problem> {
        let mut found = BTreeMap::new();
        if !self.files.is_empty() {
            fs::metadata(&self.root)
                .map_err(|error| Problem::of_file(&self.root, error.to_string()))?;
        }
        for kind in [Kind::Devices, Kind::Models, Kind::Package, Kind::Profile] {
            let folder = self.root.join(kind.folder());
            match scan_folder(&folder, kind, &mut found) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Problem::of_file(&folder, error.to_string()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(found)
    }
}

fn scan_folder(
    folder: &Path,
    kind: Kind,
    found: &mut BTreeMap<PathBuf, (Kind, Stamp)>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ext| ext != kind.extension()) {
            continue;
        }
        // Not the entry's own metadata: links (as in a mounted ConfigMap) count by their target.
        match fs::metadata(&path) {
            Ok(metadata) => {
                found.insert(path, (kind, Some((metadata.modified()?, metadata.len()))));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Reading it will say why, and the others are not kept waiting.
            Err(_) => {
                found.insert(path, (kind, None));
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Devices,
    Models,
    Package,
    Profile,
}

impl Kind {
    const fn folder(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Models => "models",
            Self::Package => "packages",
            Self::Profile => "profiles",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Devices | Self::Package | Self::Profile => "json",
            Self::Models => "xml",
        }
    }

    /// Larger files are refused unread.
    const fn max_bytes(self) -> u64 {
        match self {
            Self::Devices => 256 << 20,
            Self::Models | Self::Package | Self::Profile => 1 << 20,
        }
    }

    fn read(self, path: &Path) -> Result<Content, Problem> {
        let text = self.text(path)?;
        match self {
            Self::Devices if text.trim_start().starts_with('[') => Ok(Content::Devices {
                entries: json(path, &text).map_err(Problem::unquoted)?,
                listed: true,
            }),
            Self::Devices => Ok(Content::Devices {
                entries: vec![json(path, &text).map_err(Problem::unquoted)?],
                listed: false,
            }),
            Self::Models => models(path, &text),
            Self::Package => {
                let mut entry: PackageEntry = json(path, &text)?;
                entry.written = written(path);
                Ok(Content::Package(Box::new(entry)))
            }
            Self::Profile => profile(path, &text),
        }
    }

    fn text(self, path: &Path) -> Result<String, Problem> {
        let problem = |error: io::Error| Problem::of_file(path, error.to_string());
        let max = self.max_bytes();
        // A pipe would keep the thread waiting, a device has no end.
        if !fs::metadata(path).map_err(problem)?.is_file() {
            return Err(Problem::of_file(path, "not a regular file".to_owned()));
        }
        let mut text = String::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(max + 1).read_to_string(&mut text))
            .map_err(problem)?;
        if u64::try_from(read).is_ok_and(|read| read <= max) {
            Ok(text)
        } else {
            Err(Problem::of_file(path, format!("larger than {max} bytes")))
        }
    }
}

/// When a file was written.
fn written(path: &Path) -> UnixMillis {
    let modified = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok();
    let since = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    UnixMillis(millis.unwrap_or_default())
}

fn models(path: &Path, text: &str) -> Result<Content, Problem> {
    let models = ddf::parse(text.as_bytes()).map_err(|error| Problem {
        file: path.to_owned(),
        place: Place::Position {
            line: error.line as usize,
            column: error.column as usize,
        },
        message: error.rule.to_string(),
    })?;
    Ok(Content::Models(models.into_iter().map(Arc::new).collect()))
}

/// Reads a platform profile as exported, or its bare `transportConfiguration`.
fn profile(path: &Path, text: &str) -> Result<Content, Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        #[serde(rename = "type")]
        kind: Option<String>,
        profile_data: Option<ProfileData<Typed>>,
    }
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ProfileData<T> {
        transport_configuration: T,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Exported {
        profile_data: ProfileData<TransportConfiguration>,
    }

    let shape: Shape = json(path, text)?;
    let (kind, pointer) = match &shape.profile_data {
        Some(data) => (
            &data.transport_configuration.kind,
            "/profileData/transportConfiguration/type",
        ),
        // An exported profile has a type as well, "DEFAULT"; only with profileData it is one.
        None => (&shape.kind, "/type"),
    };
    if kind.as_deref() != Some("LWM2M") {
        return Err(Problem::at_pointer(
            path,
            pointer.to_owned(),
            "the type is not \"LWM2M\"".to_owned(),
        ));
    }
    let (transport, pointer) = match shape.profile_data {
        Some(_) => (
            json::<Exported>(path, text)?
                .profile_data
                .transport_configuration,
            "/profileData/transportConfiguration",
        ),
        None => (json(path, text)?, ""),
    };
    if let Some((member, message)) = accounts::problem(&transport) {
        return Err(Problem::at_pointer(
            path,
            format!("{pointer}{member}"),
            message,
        ));
    }
    Ok(Content::Profile(Box::new(transport)))
}

fn json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| Problem {
        file: path.to_owned(),
        place: Place::Position {
            line: error.line(),
            column: error.column(),
        },
        message: bare_message(&error),
    })
}

/// The error without serde_json's own " at line .. column ..".
fn bare_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

impl Problem {
    pub(super) fn of_file(file: &Path, message: String) -> Self {
        Self {
            file: file.to_owned(),
            place: Place::File,
            message,
        }
    }

    pub(super) fn at_pointer(file: &Path, pointer: String, message: String) -> Self {
        Self {
            file: file.to_owned(),
            place: Place::Pointer(pointer),
            message,
        }
    }

    /// Without the value that serde_json quotes: in a device file it may be a key.
    fn unquoted(self) -> Self {
        let quotes_value = ["invalid type: ", "invalid value: ", "unknown variant "]
            .iter()
            .any(|start| self.message.starts_with(start));
        let parts = self
            .message
            .split_once(['`', '"'])
            .zip(self.message.rsplit_once(", expected "));
        let message = match parts {
            Some(((what, _), (_, expected))) if quotes_value => {
                format!("{}, expected {expected}", what.trim_end())
            }
            Some(_) | None => self.message,
        };
        Self { message, ..self }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: message`, `file: /json/pointer: message` or `file: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            place,
            message,
        } = self;
        let file = file.display();
        match place {
            Place::File => write!(f, "{file}: {message}"),
            Place::Position { line, column } => write!(f, "{file}:{line}:{column}: {message}"),
            Place::Pointer(pointer) => write!(f, "{file}: {pointer}: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::platform::embedded::test_support::{PROFILE, RegistryFolder, device, model};

    use super::*;

    fn problems(folder: &mut Folder) -> Vec<String> {
        let mut problems = Vec::new();
        folder.refresh(&mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a58_no_error_quotes_a_value_of_a_device_file() {
        let good = device("C", "p", "ep");
        let client = r#"{"securityConfigClientMode":"NO_SEC","endpoint":"ep"}"#;
        for (part, secret) in [
            (r#""ep""#, "12345678901234567890123456789012"),
            (r#""ep""#, "6789"),
            ("NO_SEC", "6789, expected \\\" of `"),
            (client, "\"6789, expected `\""),
            ("null", "\"6789\""),
        ] {
            let files = RegistryFolder::new();
            files.write("devices/c.json", &good.replace(part, secret));
            let mut folder = Folder::new(files.path().to_owned());
            for problem in problems(&mut folder) {
                let message = problem.rsplit_once("c.json:").unwrap().1;
                assert!(!message.contains("6789"), "{message}");
                assert!(message.contains(", expected "), "{message}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_neither_blocks_nor_hides_the_others() {
        let files = RegistryFolder::new();
        let devices = files.path().join("devices");
        std::os::unix::fs::symlink("loop.json", devices.join("loop.json")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", devices.join("zero.json")).unwrap();
        let pipe = devices.join("pipe.json");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        files.write("devices/a.json", &device("A", "p", "ep"));
        let mut folder = Folder::new(files.path().to_owned());
        let expected = 2 + usize::from(made.is_ok_and(|status| status.success()));
        assert_eq!(problems(&mut folder).len(), expected);
        assert_eq!(folder.devices().count(), 1);
        assert_eq!(problems(&mut folder).len(), 0, "each is told once");
    }

    #[test]
    fn errors_of_syntax_and_type_name_line_and_column() {
        let files = RegistryFolder::new();
        files.write("devices/a.json", "{\n  \"deviceName\": 5\n}");
        files.write("devices/b.json", "[\n {,");
        files.write(
            "devices/c.json",
            &device("C", "p", "ep").replace("profile", "profil"),
        );
        files.write(
            "profiles/p.json",
            &PROFILE.replace("\"/3_1.2/0/9\"", "\"/3_1.2/x\""),
        );
        files.write("models/m.xml", "<LWM2M>\n  <Object/>\n</LWM2M>");
        files.write("models/ignored.txt", "nothing");
        let mut folder = Folder::new(files.path().to_owned());
        let root = files.path().display();
        let problems = problems(&mut folder);
        for expected in [
            "devices/a.json:2:17: invalid type: integer, expected a string",
            "devices/b.json:2:3: key must be a string",
            "devices/c.json:1:26: unknown field `profil`, expected one of `deviceName`, `tenantId`, `profile`, `credentials`, `transportConfiguration`, `shared`",
            "models/m.xml:2:3: ",
            "profiles/p.json:",
        ] {
            let expected = format!("{root}/{expected}");
            assert!(
                problems
                    .iter()
                    .any(|problem| problem.starts_with(&expected)),
                "{expected}\n{problems:#?}"
            );
        }
        assert_eq!(problems.len(), 5);
    }

    #[test]
    fn profiles_are_read_as_exported_or_bare() {
        let files = RegistryFolder::new();
        files.write("profiles/bare.json", PROFILE);
        files.write(
            "profiles/exported.json",
            &format!(
                r#"{{"name":"X","type":"DEFAULT","transportType":"LWM2M","profileData":{{"transportConfiguration":{PROFILE},"alarms":null}}}}"#
            ),
        );
        files.write("profiles/mqtt.json", r#"{"type":"MQTT"}"#);
        files.write(
            "profiles/other.json",
            r#"{"profileData":{"transportConfiguration":{"type":"DEFAULT"}}}"#,
        );
        let mut folder = Folder::new(files.path().to_owned());
        let root = files.path().display();
        assert_eq!(
            problems(&mut folder),
            [
                format!("{root}/profiles/mqtt.json: /type: the type is not \"LWM2M\""),
                format!(
                    "{root}/profiles/other.json: /profileData/transportConfiguration/type: the type is not \"LWM2M\""
                ),
            ]
        );
        let profiles: Vec<_> = folder
            .contents()
            .filter_map(|(_, content)| match content {
                Content::Profile(profile) => Some(profile),
                Content::Devices { .. } | Content::Models(_) | Content::Package(_) => None,
            })
            .collect();
        assert_eq!(profiles.len(), 2);
        assert_eq!(profiles[0], profiles[1]);
        assert_eq!(profiles[0].observe_attr.observe.len(), 1);
    }

    #[test]
    fn a_file_that_breaks_keeps_its_former_content() {
        let files = RegistryFolder::new();
        files.write("devices/a.json", &device("A", "p", "ep"));
        let mut folder = Folder::new(files.path().to_owned());
        assert_eq!(problems(&mut folder), Vec::<String>::new());
        files.write("devices/a.json", "{ broken");
        assert_eq!(problems(&mut folder).len(), 1);
        assert_eq!(folder.devices().count(), 1);
        // Told once.
        assert_eq!(problems(&mut folder), Vec::<String>::new());
        files.remove("devices/a.json");
        assert!(folder.refresh(&mut Vec::new()));
        assert_eq!(folder.devices().count(), 0);
    }

    #[test]
    fn a_folder_that_vanishes_keeps_everything() {
        let files = RegistryFolder::new();
        files.write("devices/a.json", &device("A", "p", "ep"));
        let mut folder = Folder::new(files.path().to_owned());
        folder.refresh(&mut Vec::new());
        fs::remove_dir_all(files.path()).unwrap();
        assert_eq!(problems(&mut folder).len(), 1);
        assert_eq!(problems(&mut folder), Vec::<String>::new());
        assert_eq!(folder.devices().count(), 1);
    }

    #[test]
    fn a_folder_that_never_was_is_empty() {
        let mut folder = Folder::new("/nonexistent/registry".into());
        assert_eq!(problems(&mut folder), Vec::<String>::new());
        assert_eq!(folder.contents().count(), 0);
    }

    #[test]
    fn a44_object_definitions_are_bounded_and_read_without_entities() {
        let files = RegistryFolder::new();
        files.write(
            "models/xxe.xml",
            "<?xml version=\"1.0\"?>\n<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>\n<LWM2M>&e;</LWM2M>",
        );
        files.write("models/large.xml", &" ".repeat((1 << 20) + 1));
        files.write("models/good.xml", &model(10_300, "1.0", "Good"));
        let mut folder = Folder::new(files.path().to_owned());
        let root = files.path().display();
        assert_eq!(
            problems(&mut folder),
            [
                format!("{root}/models/large.xml: larger than 1048576 bytes"),
                format!("{root}/models/xxe.xml:2:1: a document type declaration is not allowed"),
            ]
        );
        assert_eq!(folder.contents().count(), 1);
    }
}
