//! Settings: what is said of wrong ones, and the exit statuses of a start that fails.

use std::net::{TcpListener, UdpSocket};

use crate::server::{Home, run};

#[test]
fn config_check_accepts_and_config_print_names_the_source_of_each_value() {
    let home = Home::new();
    let checked = run(&mut home.lightship(&["config", "check"]));
    assert_eq!(
        (checked.status, checked.stdout.as_str()),
        (Some(0), "the settings are valid\n")
    );
    let printed = run(home
        .lightship(&["config", "print", "--set", "coap.nstart=2"])
        .env("LWM2M_TIMEOUT", "5000")
        .env("LIGHTSHIP__LIMITS__MAX_ENDPOINTS", "10"));
    assert_eq!(printed.status, Some(0));
    for line in [
        "coap.nstart = 2  # --set coap.nstart\n",
        "coap.max_retransmit = 4  # default\n",
        "lwm2m.timeout_ms = 5000  # environment variable LWM2M_TIMEOUT\n",
        "limits.max_endpoints = 10  # environment variable LIGHTSHIP__LIMITS__MAX_ENDPOINTS\n",
        "embedded.output = \"jsonl:telemetry.jsonl\"  # ./lightship.toml\n",
    ] {
        assert!(
            printed.stdout.contains(line),
            "{line} is not in:\n{}",
            printed.stdout
        );
    }
}

#[test]
fn a_setting_that_does_not_exist_is_named_with_its_source() {
    let home = Home::new();
    home.write("other.toml", "[lwm2m.server]\nprot = 5683\n");
    for (arguments, variable, complaint) in [
        (
            &["--set", "lwm2m.server.prot=1"][..],
            "X",
            "lwm2m.server.prot: no such setting (from --set lwm2m.server.prot)",
        ),
        (
            &["--config", "other.toml"],
            "X",
            "lwm2m.server.prot: no such setting (from other.toml",
        ),
        (
            &[],
            "LIGHTSHIP__LWM2M__SERVER__PROT",
            "lwm2m.server.prot: no such setting (from environment variable LIGHTSHIP__LWM2M__SERVER__PROT)",
        ),
    ] {
        for command in [&["serve"][..], &["config", "check"], &["config", "print"]] {
            let ended = run(home.lightship(command).args(arguments).env(variable, "1"));
            assert_eq!(ended.status, Some(2), "{command:?}: {ended:?}");
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(said.contains(complaint), "{complaint}: {ended:?}");
        }
    }
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_3_and_is_named() {
    let home = Home::new();
    let coap = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let coap = (coap.local_addr().expect("it is bound"), coap);
    let http = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let http = (http.local_addr().expect("it is bound"), http);
    for (setting, address) in [
        (format!("lwm2m.server.port={}", coap.0.port()), coap.0),
        (format!("http.bind={}", http.0), http.0),
    ] {
        let ended = run(&mut home.lightship(&["serve", "--set", &setting]));
        assert_eq!(ended.status, Some(3), "{ended:?}");
        assert!(ended.stdout.contains(&address.to_string()), "{ended:?}");
        assert!(ended.stdout.contains("in use"), "{ended:?}");
    }
}

#[test]
fn an_output_that_cannot_be_opened_ends_the_start_with_2_and_is_named() {
    let home = Home::new();
    let ended =
        run(&mut home.lightship(&["serve", "--set", "embedded.output=jsonl:nowhere/out.jsonl"]));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(
        ended.stdout.contains("jsonl:nowhere/out.jsonl"),
        "{ended:?}"
    );
}

#[cfg(feature = "kafka")]
#[test]
fn a_broker_that_cannot_be_reached_ends_the_start_with_4_and_is_named() {
    let home = Home::new();
    // A bound port that nobody listens at.
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let broker = socket.local_addr().expect("it is bound").to_string();
    let ended = run(home.lightship(&["serve"]).env("TB_KAFKA_SERVERS", &broker));
    assert_eq!(ended.status, Some(4), "{ended:?}");
    assert!(ended.stdout.contains(&broker), "{ended:?}");
}

#[test]
fn help_names_every_command_and_wrong_arguments_exit_with_2() {
    let home = Home::new();
    let help = run(&mut home.lightship(&["--help"]));
    assert_eq!(help.status, Some(0));
    for command in [
        "demo",
        "serve",
        "rpc",
        "device",
        "bench",
        "config",
        "healthcheck",
    ] {
        assert!(
            help.stdout.contains(&format!("\n  {command} ")),
            "{}",
            help.stdout
        );
        let help = run(&mut home.lightship(&[command, "--help"]));
        assert_eq!(help.status, Some(0));
        assert!(help.stdout.contains("Usage: lightship "), "{}", help.stdout);
    }
    for wrong in [
        &["sevre"][..],
        &["demo", "--devices", "many"],
        &["serve", "--st", "a=1"],
    ] {
        assert_eq!(run(&mut home.lightship(wrong)).status, Some(2), "{wrong:?}");
    }
}
