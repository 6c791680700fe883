//! Commands of the platform on a client that nobody here wrote: the built program in embedded mode before Leshan.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::peers::leshan::{self, Options};
use crate::peers::process::Process;

const ENDPOINT: &str = "urn:lightship:commands";

#[test]
fn leshan_carries_all_commands_out() {
    let Some(mut pair) = Pair::start() else {
        return;
    };
    for (method, params, reply) in [
        (
            "ReadComposite",
            r#"{"ids":["/3/0/9","/3303/0/5700","/3/0/99"]}"#,
            r#"{"result":"CONTENT","value":"{/3/0/99=null, /3303/0/5700=LwM2mSingleResource [id=5700, value=21.5, type=FLOAT], /3/0/9=LwM2mSingleResource [id=9, value=95, type=INTEGER]}"}"#,
        ),
        (
            "WriteUpdate",
            r#"{"id":"/3/0","value":{"14":"+05:00","15":"Asia/Tbilisi"}}"#,
            CHANGED,
        ),
        (
            "WriteUpdate",
            r#"{"id":"/19/0/0","value":{"1":"cafe"}}"#,
            CHANGED,
        ),
        (
            "Read",
            "/19/0/0",
            r#"{"result":"CONTENT","value":"LwM2mMultipleResource id=0 values={ id=0 value=01020304,  id=1 value=cafe} type=OPAQUE"}"#,
        ),
        (
            "WriteReplace",
            r#"{"id":"/19/0/0/1","value":"beef01"}"#,
            CHANGED,
        ),
        (
            "WriteComposite",
            r#"{"nodes":{"/3/0/14":"+06:00","/19/0/0":{"5":"0102"},"/19/0/1":7}}"#,
            CHANGED,
        ),
        (
            "ReadComposite",
            r#"{"ids":["/19/0/0"]}"#,
            r#"{"result":"CONTENT","value":"LwM2mMultipleResource key=/19/0/0 values={ id=0 value=01020304,  id=1 value=beef01,  id=5 value=0102} type=OPAQUE"}"#,
        ),
        (
            "WriteComposite",
            r#"{"nodes":{"/3/0/9":5}}"#,
            r#"{"result":"BAD_REQUEST","error":"resource /3/0/9 is not writable"}"#,
        ),
        (
            "WriteAttributes",
            r#"{"id":"/3303/0/5700","attributes":{"pmin":1,"gt":42.5,"st":0.5}}"#,
            CHANGED,
        ),
        (
            "WriteAttributes",
            r#"{"id":"/3303/0/5700","attributes":{"gt":null}}"#,
            CHANGED,
        ),
        (
            "Discover",
            "/3303/0/5700",
            r#"{"result":"CONTENT","value":"</3303/0/5700>;pmin=1;st=0.5"}"#,
        ),
        (
            "Create",
            r#"{"id":"/19/1","value":{"0":{"0":"00ad"},"1":3}}"#,
            r#"{"result":"CREATED"}"#,
        ),
        (
            "Create",
            r#"{"id":"/19/1","value":{"0":{"0":"00ad"},"1":3}}"#,
            r#"{"result":"BAD_REQUEST","error":"instance 1 already exists"}"#,
        ),
        (
            "Create",
            r#"{"id":"/19","value":{"0":{"0":"00ad"},"1":3}}"#,
            r#"{"result":"CREATED","value":"location=19/2"}"#,
        ),
        ("Delete", "/19/1", r#"{"result":"DELETED"}"#),
        ("Delete", "/19/1", r#"{"result":"NOT_FOUND"}"#),
        ("Delete", "/3/0", r#"{"result":"METHOD_NOT_ALLOWED"}"#),
    ] {
        assert_eq!(pair.rpc(method, params), reply, "{method} {params}");
    }
}

#[test]
fn leshan_ends_observations_when_it_is_told() {
    let Some(mut pair) = Pair::start() else {
        return;
    };
    let both = r#"{"ids":["/3303/0/5700","/3303/1/5700"]}"#;
    pair.rpc("ObserveComposite", both);
    pair.rpc("Observe", "/3/0/9");
    pair.client.expect_event("observed /3/0/9");
    pair.client.command("set /3303/0/5700 30.5");
    pair.server.expect(PATIENCE, |line| line.contains("30.5"));
    assert_eq!(pair.rpc("ObserveCompositeCancel", both), ONE);
    assert_eq!(pair.rpc("ObserveCancel", "/3/0/9"), ONE);
    // Both answers of the device are there before that of the next command.
    pair.rpc("Read", "/3/0/0");
    pair.client.command("set /3303/0/5700 31.5");
    pair.client.command("set /3/0/9 80");
    pair.client.command("update");
    pair.client.expect_event("updated");
    assert_eq!(pair.client.values("notified /3/0/9"), [""; 0]);
    assert_eq!(
        pair.client.values("rejected"),
        [""; 0],
        "nothing was left to reject"
    );
    assert_eq!(
        pair.rpc("ObserveReadAll", "null"),
        r#"{"result":"CONTENT","value":"[]"}"#
    );
}

/// A server in embedded mode and a Leshan client that has registered with it.
struct Pair {
    client: leshan::Client,
    server: Process,
    http: String,
    folder: TempDir,
}

impl Pair {
    /// `None`: the client cannot be had here.
    fn start() -> Option<Self> {
        let folder = registry();
        let coap = crate::peers::free_udp_port();
        let http = free_tcp_address();
        let mut serve = lightship(&folder);
        serve.args([
            "serve",
            "--set",
            "lwm2m.server.secure_port=0",
            "--set",
            "lwm2m.bootstrap.secure_port=0",
            "--set",
            "lwm2m.server.bind=127.0.0.1",
            "--set",
            &format!("lwm2m.server.port={coap}"),
            "--set",
            "lwm2m.bootstrap.enabled=false",
            "--set",
            &format!("http.bind={http}"),
        ]);
        let mut server = Process::spawn("lightship", &mut serve);
        server.expect(PATIENCE, |line| line.contains("serving LwM2M over CoAP"));
        let uri = format!("coap://127.0.0.1:{coap}");
        let mut client = leshan::Client::start(&uri, ENDPOINT, Options::default())?;
        client.expect_event("registered");
        Some(Self {
            client,
            server,
            http: format!("http://{http}"),
            folder,
        })
    }

    /// The reply to a command.
    fn rpc(&mut self, method: &str, params: &str) -> String {
        let mut rpc = lightship(&self.folder);
        rpc.args(["rpc", ENDPOINT, method, params, "--url", &self.http]);
        let output = rpc.output().expect("the binary starts");
        // Without a reply, why there is none.
        let printed = match output.stdout.is_empty() {
            true => output.stderr,
            false => output.stdout,
        };
        String::from_utf8_lossy(&printed).trim_end().to_owned()
    }
}

/// A working folder with a registry of one device.
fn registry() -> TempDir {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    for (name, content) in [
        ("registry/devices/device.json", DEVICE),
        ("registry/profiles/profile.json", PROFILE),
    ] {
        let path = folder.path().join(name);
        let parent = path.parent().expect("it is in a folder");
        fs::create_dir_all(parent).expect("folders can be made");
        fs::write(path, content).expect("a file can be written");
    }
    folder
}

/// An address of loopback that nothing used a moment ago.
fn free_tcp_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr();
    address.expect("a bound socket has an address").to_string()
}

fn lightship(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir(folder.path());
    command
}

const PATIENCE: Duration = Duration::from_secs(30);
const CHANGED: &str = r#"{"result":"CHANGED"}"#;
const ONE: &str = r#"{"result":"CONTENT","value":"1"}"#;
const DEVICE: &str = r#"{"deviceName": "Device", "profile": "profile", "credentials": {
    "client": {"securityConfigClientMode": "NO_SEC", "endpoint": "urn:lightship:commands"}}}"#;
const PROFILE: &str = r#"{"type": "LWM2M", "observeAttr": {
    "telemetry": ["/3303_1.0/0/5700"], "keyName": {"/3303_1.0/0/5700": "temperature"}}}"#;
