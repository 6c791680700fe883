//! A broker that asks for a user and speaks TLS: Apache Kafka, skipped with a reason where it cannot be had.

use lightship::platform::{
    Outcome,
    secret::Secret,
    thingsboard::{
        ThingsBoardSettings,
        security::{SaslSettings, SecurityProtocol},
        settings::KafkaSettings,
    },
    uplink::KeyValue,
};

use crate::{
    fixture::Fixture,
    peers::kafka::{Broker, USER},
};

/// The Kafka side starts by the settings that `change` makes, and a value and a command get through.
fn everything_gets_through(broker: Broker, change: impl FnOnce(&Broker, &mut KafkaSettings)) {
    let plain = broker.bootstrap_servers();
    let mut kafka = KafkaSettings::default();
    change(&broker, &mut kafka);
    let fixture = Fixture::start_on(broker, &plain, |settings: &mut ThingsBoardSettings| {
        settings.kafka = KafkaSettings {
            prefix: settings.kafka.prefix.clone(),
            ..kafka
        };
    });
    let (endpoint, session) = fixture.registered();
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Durable);
    let rpc = fixture.core.rpc(fixture.device, "Read", "{}");
    assert_eq!(fixture.sink.take_rpc().id.uuid, rpc);
}

fn user(mechanism: &str) -> SaslSettings {
    let (username, password) = USER;
    SaslSettings {
        mechanism: mechanism.to_owned(),
        username: username.to_owned(),
        password: Secret::new(password),
    }
}

#[test]
fn a_broker_that_asks_for_a_user_is_told_one() {
    let Some(broker) = Broker::start_secured() else {
        return;
    };
    everything_gets_through(broker, |broker, kafka| {
        kafka.bootstrap_servers = broker.sasl_servers();
        kafka.security_protocol = SecurityProtocol::SaslPlaintext;
        kafka.sasl = user("PLAIN");
    });
}

#[cfg(feature = "kafka-tls")]
#[test]
fn a_broker_that_speaks_tls_is_verified_and_told_a_user() {
    let Some(broker) = Broker::start_secured() else {
        return;
    };
    everything_gets_through(broker, |broker, kafka| {
        kafka.bootstrap_servers = broker.tls_servers();
        kafka.security_protocol = SecurityProtocol::SaslSsl;
        kafka.ssl.ca_file = broker.certificate().to_str().unwrap().to_owned();
        kafka.sasl = user("SCRAM-SHA-512");
    });
}
