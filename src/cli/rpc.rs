//! `lightship rpc`: sends one command to a device through the HTTP API of embedded mode.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};

/// Arguments of `rpc`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rpc {
    /// Endpoint client name of the device.
    #[arg(value_name = "EP")]
    endpoint: String,
    /// Command, as ThingsBoard names it: Read, ReadComposite, Discover, DiscoverAll, Observe, ObserveComposite,
    /// ObserveReadAll, ObserveCancel, ObserveCompositeCancel, ObserveCancelAll, Execute, WriteReplace, WriteUpdate,
    /// WriteComposite, WriteAttributes, Create, Delete.
    method: String,
    /// Parameters as JSON; a path alone, such as /3/0/9, stands for {"id":"/3/0/9"}.
    params: Option<String>,
    /// Where the HTTP API is. A token is taken from LIGHTSHIP__HTTP__API_TOKEN.
    #[arg(long, default_value = "http://127.0.0.1:8083")]
    url: String,
    /// How long the device may take, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

const EXAMPLES: &str = r#"Examples:
  lightship rpc demo-1 Read /3/0/9
  lightship rpc demo-1 Discover /3
  lightship rpc demo-1 WriteReplace '{"id":"/3/0/14","value":"+02:00"}'
  lightship rpc demo-1 WriteUpdate '{"id":"/3/0","value":{"14":"+02:00","15":"Europe/Kyiv"}}'
  lightship rpc demo-1 WriteAttributes '{"id":"/3303/0/5700","attributes":{"pmin":10,"gt":25.5}}'
  lightship rpc demo-1 Execute /3/0/4
  lightship rpc demo-1 Observe /3/0/9
  lightship rpc demo-1 ReadComposite '{"ids":["/3/0/9","/3303/0/5700"]}'
  lightship rpc demo-1 ObserveReadAll
  lightship rpc urn:imei:490154203237518 Read /3/0/0 --timeout 60 --url http://gateway:8083

Prints the reply as ThingsBoard would receive it. Exits with 0, or with 1 when the command failed or no reply came."#;

impl Rpc {
    /// Exit status 0 when the command succeeded, else 1.
    pub fn run(&self) -> ExitCode {
        let token = env::var("LIGHTSHIP__HTTP__API_TOKEN").unwrap_or_default();
        let reply = call(self, &token);
        let printed = match &reply {
            Ok(body) => writeln!(io::stdout(), "{body}"),
            Err(message) => writeln!(io::stderr(), "{message}"),
        };
        if printed.is_ok() && reply.is_ok_and(|body| !is_failure(&body)) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// The reply body, or what to tell when there is none.
fn call(args: &Rpc, token: &str) -> Result<String, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // The server answers in time; this ends a connection that died.
        .timeout_global(Some(Duration::from_secs(args.timeout.saturating_add(10))))
        .build()
        .into();
    let command = json!({
        "method": args.method,
        "params": params(args.params.as_deref())?,
        "timeout_ms": args.timeout.saturating_mul(1000),
    });
    let url = format!(
        "{}/api/endpoints/{}/rpc",
        args.url.trim_end_matches('/'),
        path_segment(&args.endpoint)
    );
    let mut request = agent.post(url).content_type("application/json");
    if !token.is_empty() {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let unreachable = |error: ureq::Error| {
        format!(
            "{}: {error} (is the server running in embedded mode, and is --url its HTTP port?)",
            args.url
        )
    };
    let mut response = request.send(command.to_string()).map_err(unreachable)?;
    let body = response.body_mut().read_to_string().map_err(unreachable)?;
    if response.status().is_success() {
        return Ok(body);
    }
    let error = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
    Err(error.unwrap_or_else(|| format!("{}: {body}", response.status())))
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
fn is_failure(body: &str) -> bool {
    serde_json::from_str::<Value>(body).is_ok_and(|body| {
        let error = body.get("error").is_some_and(|error| error != "");
        let result = body.get("result").and_then(Value::as_str);
        error || result.is_some_and(|result| !SUCCESSES.contains(&result))
    })
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
        assert_eq!(call(&args, "t0ken").unwrap(), r#"{"result":"CONTENT"}"#);
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
    fn a_refusal_is_told_in_words() {
        let (url, server) = serve(
            "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 19\r\nconnection: close\r\n\r\n{\"error\":\"TIMEOUT\"}",
        );
        assert_eq!(
            call(&args(&["ep", "Read", "--url", &url]), "").unwrap_err(),
            "TIMEOUT"
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
        let message = call(&args(&["ep", "Read", "--url", &url]), "").unwrap_err();
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
        assert!(is_failure(r#"{"result":"NOT_FOUND"}"#));
        for success in SUCCESSES {
            assert!(!is_failure(&format!(r#"{{"result":"{success}"}}"#)));
        }
    }

    #[test]
    fn an_error_counts_unless_it_is_empty() {
        assert!(is_failure(r#"{"error":"no"}"#));
        assert!(is_failure(r#"{"result":"BAD_REQUEST","error":"no"}"#));
        assert!(!is_failure(r#"{"result":"CHANGED","error":""}"#));
        assert!(!is_failure(r#"{"result":"CONTENT","value":"error"}"#));
    }
}
