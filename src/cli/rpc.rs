//! `lightship rpc`: sends one command to a device through the HTTP API of embedded mode.

mod hint;

use std::{
    env,
    fmt::Write as _,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    endpoint::rpc::{MANUAL, Manual},
    server::clock,
};

use super::https::Https;

use hint::Failed;

/// Arguments of `rpc`.
#[derive(Clone, Debug, Args)]
#[command(after_help = manual())]
pub struct Rpc {
    /// Endpoint client name of the device.
    #[arg(value_name = "EP")]
    endpoint: String,
    /// Command, as ThingsBoard names it; see below.
    method: String,
    /// Parameters as JSON; a path alone, such as /3/0/9, stands for {"id":"/3/0/9"}.
    params: Option<String>,
    /// Where the HTTP API is. A token is taken from LIGHTSHIP__HTTP__API_TOKEN.
    #[arg(long, default_value = "http://127.0.0.1:8083")]
    url: String,
    #[command(flatten)]
    https: Https,
    /// How long the device may take, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

/// What each command does, with examples for the device of `lightship demo`.
fn manual() -> String {
    let mut text =
        "Commands, with examples that work one after the other while `lightship demo` runs:\n"
            .to_owned();
    for Manual {
        method,
        does,
        example,
    } in MANUAL
    {
        let command = format!("lightship rpc demo-1 {method} {}", shown(example));
        // A String takes all that is written.
        write!(text, "\n  {method}: {does}\n    {}\n", command.trim_end()).ok();
    }
    text.push_str(NOTES);
    text
}

const NOTES: &str = r#"
A key name of the profile may stand in place of a path: {"key":"temperature"}, {"keys":["temperature","batteryLevel"]}.
A path without version, /3/0/9, means the version that the device has; with it, it is /3_1.2/0/9.

The reply is printed as ThingsBoard would receive it, and on standard error what helps when the command failed. The exit
status is 0, or 1 when the command failed or no reply came."#;

/// Parameters as one writes them in a shell.
fn shown(example: &str) -> String {
    match serde_json::from_str(example) {
        Ok(Value::Object(members)) if members.len() == 1 && members.contains_key("id") => {
            members["id"].as_str().unwrap_or_default().to_owned()
        }
        Ok(Value::Null) => String::new(),
        _ => format!("'{}'", example.replace('\'', r"'\''")),
    }
}

impl Rpc {
    /// Exit status 0 when the command succeeded, else 1.
    pub fn run(&self) -> ExitCode {
        let token = env::var("LIGHTSHIP__HTTP__API_TOKEN").ok();
        let called = Api::new(self, token).and_then(|api| self.call(&api));
        match called {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(message) => {
                // Where standard error is closed nobody wants to know.
                writeln!(io::stderr(), "{message}").ok();
                ExitCode::FAILURE
            }
        }
    }

    /// Prints the reply, or why there is none; whether the command succeeded.
    fn call(&self, api: &Api) -> Result<bool, String> {
        let params = params(self.params.as_deref())?;
        let (status, text) = self.send(api, &params)?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        let said = |error: io::Error| error.to_string();
        if status == 200 {
            writeln!(io::stdout(), "{text}").map_err(said)?;
            if !is_failure(&body) {
                return Ok(true);
            }
        } else {
            let error = body["error"].as_str();
            let error = error.map_or_else(|| format!("{status}: {text}"), str::to_owned);
            writeln!(io::stderr(), "{error}").map_err(said)?;
        }
        let failed = Failed {
            endpoint: &self.endpoint,
            method: &self.method,
            params: &params,
            timeout: self.timeout,
            status,
            body: &body,
            ask: &|path| api.get(path),
        };
        if let Some(hint) = hint::hint(&failed, clock::now().wall) {
            writeln!(io::stderr(), "hint: {hint}").map_err(said)?;
        }
        Ok(false)
    }

    fn send(&self, api: &Api, params: &Value) -> Result<(u16, String), String> {
        let command = json!({
            "method": self.method,
            "params": params,
            "timeout_ms": self.timeout.saturating_mul(1000),
        });
        let path = format!("/api/endpoints/{}/rpc", path_segment(&self.endpoint));
        api.post(&path, &command)
    }
}

/// The HTTP API of a server.
struct Api {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
}

impl Api {
    fn new(args: &Rpc, token: Option<String>) -> Result<Self, String> {
        let tls = args.https.config(&args.url);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls.map_err(|error| format!("{error:#}"))?)
            // The server answers in time; this ends a connection that died.
            .timeout_global(Some(Duration::from_secs(args.timeout.saturating_add(10))))
            .build();
        let token = token.filter(|token| !token.is_empty());
        Ok(Self {
            agent: agent.into(),
            url: args.url.trim_end_matches('/').to_owned(),
            authorization: token.map(|token| format!("Bearer {token}")),
        })
    }

    /// Status and body of the answer.
    fn post(&self, path: &str, body: &Value) -> Result<(u16, String), String> {
        let unreachable = |error: ureq::Error| {
            format!(
                "{}: {error} (is the server running in embedded mode, and is --url its HTTP port?)",
                self.url
            )
        };
        let mut request = self.agent.post(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let request = request.content_type("application/json");
        let mut response = request.send(body.to_string()).map_err(unreachable)?;
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        Ok((response.status().as_u16(), text))
    }

    /// A page, if there is one.
    fn get(&self, path: &str) -> Option<Value> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let mut response = request.call().ok()?;
        let text = response.body_mut().read_to_string().ok()?;
        serde_json::from_str(&text)
            .ok()
            .filter(|_| response.status().is_success())
    }
}

/// The parameters as JSON; none are `null`.
fn params(text: Option<&str>) -> Result<Value, String> {
    match text {
        None => Ok(Value::Null),
        Some(path) if path.starts_with('/') => Ok(json!({ "id": path })),
        Some(json) => serde_json::from_str(json)
            .map_err(|error| format!("PARAMS is neither a path nor JSON: {error}")),
    }
}

/// Whether a reply body says that the command failed: by an error, or by the device's response code alone.
fn is_failure(body: &Value) -> bool {
    let error = body.get("error").is_some_and(|error| error != "");
    let result = body.get("result").and_then(Value::as_str);
    error || result.is_some_and(|result| !SUCCESSES.contains(&result))
}

/// The response codes of class 2 that a device can answer, as replies name them.
const SUCCESSES: [&str; 4] = ["CHANGED", "CONTENT", "CREATED", "DELETED"];

/// Text as one segment of a path (RFC 3986 section 2.1).
fn path_segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read},
        net::TcpListener,
        thread::{self, JoinHandle},
    };

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        rpc: Rpc,
    }

    fn args(words: &[&str]) -> Rpc {
        Cli::parse_from(["rpc"].iter().chain(words)).rpc
    }

    /// Serves one request with `answer`; the thread returns head and body of the request.
    fn serve(answer: &'static str) -> (String, JoinHandle<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            (head, String::from_utf8(body).unwrap())
        });
        (url, thread)
    }

    #[test]
    fn sends_the_command_and_returns_the_body() {
        let (url, server) = serve(
            "HTTP/1.1 200 OK\r\ncontent-length: 20\r\nconnection: close\r\n\r\n{\"result\":\"CONTENT\"}",
        );
        let args = args(&[
            "urn:dev/1",
            "Read",
            "/3/0/9",
            "--timeout",
            "5",
            "--url",
            &url,
        ]);
        let api = Api::new(&args, Some("t0ken".to_owned())).unwrap();
        let params = params(args.params.as_deref()).unwrap();
        assert_eq!(
            args.send(&api, &params).unwrap(),
            (200, r#"{"result":"CONTENT"}"#.to_owned())
        );
        let (head, body) = server.join().unwrap();
        assert!(
            head.starts_with("POST /api/endpoints/urn%3Adev%2F1/rpc HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.to_lowercase()
                .contains("authorization: bearer t0ken\r\n"),
            "{head}"
        );
        assert_eq!(
            body,
            r#"{"method":"Read","params":{"id":"/3/0/9"},"timeout_ms":5000}"#
        );
    }

    #[test]
    fn a_refusal_keeps_its_status_and_no_token_is_sent_that_is_not_there() {
        let (url, server) = serve(
            "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 19\r\nconnection: close\r\n\r\n{\"error\":\"TIMEOUT\"}",
        );
        let args = args(&["ep", "Read", "--url", &url]);
        assert_eq!(
            args.send(&Api::new(&args, Some(String::new())).unwrap(), &Value::Null)
                .unwrap(),
            (504, r#"{"error":"TIMEOUT"}"#.to_owned())
        );
        let (head, body) = server.join().unwrap();
        assert!(!head.to_lowercase().contains("authorization"), "{head}");
        assert_eq!(
            body,
            r#"{"method":"Read","params":null,"timeout_ms":30000}"#
        );
    }

    #[test]
    fn a_server_that_is_not_there_is_told_in_words() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let args = args(&["ep", "Read", "--url", &url]);
        let message = args.call(&Api::new(&args, None).unwrap()).unwrap_err();
        assert!(message.contains("is the server running"), "{message}");
    }

    #[test]
    fn parameters_are_json_or_a_path() {
        assert_eq!(params(None), Ok(Value::Null));
        assert_eq!(params(Some("/3")), Ok(json!({"id": "/3"})));
        assert_eq!(params(Some(r#"{"id":"/3"}"#)), Ok(json!({"id": "/3"})));
        assert!(
            params(Some("3/0"))
                .unwrap_err()
                .starts_with("PARAMS is neither")
        );
    }

    #[test]
    fn a_bare_result_that_is_no_success_is_a_failure() {
        assert!(is_failure(&json!({"result":"NOT_FOUND"})));
        for success in SUCCESSES {
            assert!(!is_failure(&json!({"result": success})));
        }
    }

    #[test]
    fn an_error_counts_unless_it_is_empty() {
        assert!(is_failure(&json!({"error":"no"})));
        assert!(is_failure(&json!({"result":"BAD_REQUEST","error":"no"})));
        assert!(!is_failure(&json!({"result":"CHANGED","error":""})));
        assert!(!is_failure(&json!({"result":"CONTENT","value":"error"})));
    }
}
