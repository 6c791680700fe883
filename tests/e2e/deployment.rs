//! The environment of the platform's published deployments is accepted unchanged, and every line of it is explained.

use std::process::Command;

use crate::server::{Ended, run};

const DOCKER: &str = include_str!("../data/deployment.env");
const CLOUD: &str = include_str!("../data/deployment-cloud.env");

/// The variables of an environment file.
fn variables(file: &'static str) -> Vec<(&'static str, &'static str)> {
    file.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('=').expect("a name and a value"))
        .collect()
}

/// Runs a `config` command where there are no files, with the variables of this one alone.
fn config(action: &str, file: &'static str) -> Ended {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
    let command = command.args(["config", action]).current_dir(&folder);
    run(command.env_clear().envs(variables(file)))
}

/// What `config print` and `config check` say: both accept the environment.
fn said(file: &'static str) -> (String, String) {
    let [printed, checked] = ["print", "check"].map(|action| {
        let ended = config(action, file);
        assert_eq!(ended.status, Some(0), "{action}: {ended:?}");
        ended.stdout
    });
    (printed, checked)
}

fn every_line_is_explained(file: &'static str) {
    let (printed, checked) = said(file);
    for (name, _) in variables(file) {
        let source = format!("# environment variable {name}\n");
        let comment = format!("\n# {name}: ");
        assert!(
            printed.contains(&source) || printed.contains(&comment),
            "{name} is not in:\n{printed}"
        );
        let note = format!("note: {name}: ");
        assert!(checked.contains(&note), "{name} is not in:\n{checked}");
        // A warning beside every line that does nothing.
        let silent = format!("{note}no effect: ");
        if checked.contains(&silent) {
            let warned = checked.lines().any(|line| {
                let names = line.strip_prefix("warning: without effect: ");
                names.is_some_and(|names| names.contains(name))
            });
            assert!(warned, "no warning about {name} in:\n{checked}");
        }
    }
}

#[test]
fn the_environment_of_the_published_deployment_is_accepted_and_explained() {
    every_line_is_explained(DOCKER);
    let (printed, _) = said(DOCKER);
    for line in [
        "mode = \"kafka\"  # environment variable TB_QUEUE_TYPE\n",
        "service.id = \"tb-lwm2m-transport\"  # environment variable TB_SERVICE_ID\n",
        "kafka.bootstrap_servers = \"kafka:9092\"  # environment variable TB_KAFKA_SERVERS\n",
        "lwm2m.timeout_ms = 10000  # environment variable LWM2M_TIMEOUT\n",
        "http.bind = \"0.0.0.0:8081\"  # environment variable HTTP_BIND_PORT\n",
    ] {
        assert!(printed.contains(line), "{line} is not in:\n{printed}");
    }
}

#[test]
fn the_environment_of_a_cloud_is_accepted_and_explained_where_there_is_tls() {
    if cfg!(feature = "kafka-tls") {
        every_line_is_explained(CLOUD);
        let (printed, checked) = said(CLOUD);
        for line in [
            "kafka.security_protocol = \"sasl_ssl\"  # environment variable TB_QUEUE_KAFKA_CONFLUENT_SECURITY_PROTOCOL\n",
            "kafka.sasl.username = \"CLUSTER_API_KEY\"  # environment variable TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG\n",
            "kafka.sasl.password = \"***\"  # environment variable TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG\n",
        ] {
            assert!(printed.contains(line), "{line} is not in:\n{printed}");
        }
        assert!(!printed.contains("CLUSTER_API_SECRET") && !checked.contains("CLUSTER_API_SECRET"));
    } else {
        let ended = config("check", CLOUD);
        assert_eq!(
            (ended.status, ended.stdout.as_str()),
            (
                Some(2),
                "error: kafka.security_protocol: this program was built without the feature `kafka-tls` \
                 (from environment variable TB_QUEUE_KAFKA_CONFLUENT_SECURITY_PROTOCOL)\n"
            )
        );
    }
}
