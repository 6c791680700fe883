//! Devices and their profiles, for tests.

use std::sync::Arc;

use uuid::Uuid;

use crate::platform::{
    DeviceInfo, PlatformId,
    credentials::Admission,
    profile::{DeviceProfile, PowerSettings},
};

/// A profile and the credentials of a device `dev1` of it.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) profile: &'static str,
    pub(super) credentials: &'static str,
}

pub(super) const NOSEC: Sample = Sample {
    profile: r#"{"type":"LWM2M","bootstrapServerUpdateEnable":true,"bootstrap":[
        {"securityMode":"NO_SEC","bootstrapServerIs":false,"shortServerId":123,"host":"lwm2m.example.org","port":5685,
         "serverPublicKey":"","serverCertificate":"","clientHoldOffTime":1,"bootstrapServerAccountTimeout":0,
         "lifetime":300,"defaultMinPeriod":1,"notifIfDisabled":true,"binding":"U"},
        {"securityMode":"NO_SEC","bootstrapServerIs":true,"shortServerId":null,"host":"lwm2m.example.org","port":5687,
         "serverPublicKey":"","serverCertificate":"","clientHoldOffTime":1,"bootstrapServerAccountTimeout":0,
         "lifetime":300,"defaultMinPeriod":1,"notifIfDisabled":true,"binding":"U"}]}"#,
    credentials: r#"{"client":{"securityConfigClientMode":"NO_SEC","endpoint":"dev1"},
        "bootstrap":{"bootstrapServer":{"securityMode":"NO_SEC"},"lwm2mServer":{"securityMode":"NO_SEC"}}}"#,
};

pub(super) const PSK: Sample = Sample {
    profile: r#"{"type":"LWM2M","bootstrapServerUpdateEnable":true,"bootstrap":[
        {"securityMode":"PSK","bootstrapServerIs":false,"shortServerId":123,"host":"lwm2m.example.org","port":5686},
        {"securityMode":"PSK","bootstrapServerIs":true,"shortServerId":null,"host":"lwm2m.example.org","port":5688}]}"#,
    credentials: r#"{"client":{"securityConfigClientMode":"PSK","endpoint":"dev1","identity":"SOME_PSK_ID",
            "key":"73656372657450534b73656372657450"},
        "bootstrap":{
            "bootstrapServer":{"securityMode":"PSK","clientPublicKeyOrId":"SOME_PSK_ID",
                "clientSecretKey":"73656372657450534b73656372657450"},
            "lwm2mServer":{"securityMode":"PSK","clientPublicKeyOrId":"SOME_PSK_ID",
                "clientSecretKey":"73656372657450534b73656372657450"}}}"#,
};

/// Accounts with keys for a device that proves nothing.
pub(super) const PSK_OVER_NOSEC: Sample = Sample {
    profile: PSK.profile,
    credentials: r#"{"client":{"securityConfigClientMode":"NO_SEC","endpoint":"dev1"},
        "bootstrap":{
            "bootstrapServer":{"securityMode":"PSK","clientPublicKeyOrId":"SOME_PSK_ID",
                "clientSecretKey":"73656372657450534b73656372657450"},
            "lwm2mServer":{"securityMode":"PSK","clientPublicKeyOrId":"SOME_PSK_ID",
                "clientSecretKey":"73656372657450534b73656372657450"}}}"#,
};

/// Keys as in `platform::key_text::samples`.
pub(super) const RPK: Sample = Sample {
    profile: r#"{"type":"LWM2M","bootstrapServerUpdateEnable":true,"bootstrap":[
        {"securityMode":"RPK","bootstrapServerIs":false,"shortServerId":123,"host":"lwm2m.example.org","port":5686,
         "serverPublicKey":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE22w6hkXQr1RRl3s46ga600t+fhuCe15XrBA2RED4ZQAohvviVONRJvfaMFWVIWwN1ZqmscPWThl7xl0tqnXojQ=="}]}"#,
    credentials: r#"{"client":{"securityConfigClientMode":"RPK","endpoint":"dev1","key":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE22w6hkXQr1RRl3s46ga600t+fhuCe15XrBA2RED4ZQAohvviVONRJvfaMFWVIWwN1ZqmscPWThl7xl0tqnXojQ=="},
        "bootstrap":{"lwm2mServer":{"securityMode":"RPK",
            "clientPublicKeyOrId":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE22w6hkXQr1RRl3s46ga600t+fhuCe15XrBA2RED4ZQAohvviVONRJvfaMFWVIWwN1ZqmscPWThl7xl0tqnXojQ==",
            "clientSecretKey":"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgONtgU+5r8nxk6rIQ1fp+RBtGe8aD2bXSt7n3n/JHaaqhRANCAATbbDqGRdCvVFGXezjqBrrTS35+G4J7XlesEDZEQPhlACiG++JU41Em99owVZUhbA3Vmqaxw9ZOGXvGXS2qdeiN"}}}"#,
};

/// A certificate of the capture that stands in for server and device, as its trusted chain would.
pub(super) const X509: Sample = Sample {
    profile: r#"{"type":"LWM2M","bootstrapServerUpdateEnable":true,"bootstrap":[
        {"securityMode":"X509","bootstrapServerIs":false,"shortServerId":123,"host":"lwm2m.example.org","port":5686,
         "serverPublicKey":"MIICBzCCAa2gAwIBAgIUFrSG2lgqJHbQ2UA69UrYv1bRl6QwCgYIKoZIzj0EAwIwOjEXMBUGA1UECgwOTGlnaHRzaGlwIFRlc3QxHzAdBgNVBAMMFkxpZ2h0c2hpcCBUZXN0IFJvb3QgQ0EwHhcNMjYxMTIyMTM1MDA2WhcNMzYxMTE5MTM1MDA2WjAxMRcwFQYDVQQKDA5MaWdodHNoaXAgVGVzdDEWMBQGA1UEAwwNbHMteDUwOS10cnVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJqjR1YWyUM/DU6stS12v9meYD3Trdo6qplzVCMa1WOyc+f53mON5sX0+JJPpWa2IkGMgpL9FF0xBvnwGIs9e1+jgZkwgZYwCQYDVR0TBAIwADAOBgNVHQ8BAf8EBAMCA4gwHQYDVR0lBBYwFAYIKwYBBQUHAwEGCCsGAQUFBwMCMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAdBgNVHQ4EFgQU95mdgYTexmq0TRRAHZJSsKxVXvkwHwYDVR0jBBgwFoAUWbMwSE01XjAHjv0hDTPtL58NswkwCgYIKoZIzj0EAwIDSAAwRQIhAMJCVQREKX/Ap1aKS048sP+lMiw8j7h0l/buDwYL+W9DAiAd8O6t2GzkXv06GMxAaz2e4ahFWXrLyJBL01fbiarwIQ=="}]}"#,
    credentials: r#"{"client":{"securityConfigClientMode":"X509","endpoint":"dev1","cert":""},
        "bootstrap":{"lwm2mServer":{"securityMode":"X509",
            "clientPublicKeyOrId":"MIICBzCCAa2gAwIBAgIUFrSG2lgqJHbQ2UA69UrYv1bRl6QwCgYIKoZIzj0EAwIwOjEXMBUGA1UECgwOTGlnaHRzaGlwIFRlc3QxHzAdBgNVBAMMFkxpZ2h0c2hpcCBUZXN0IFJvb3QgQ0EwHhcNMjYxMTIyMTM1MDA2WhcNMzYxMTE5MTM1MDA2WjAxMRcwFQYDVQQKDA5MaWdodHNoaXAgVGVzdDEWMBQGA1UEAwwNbHMteDUwOS10cnVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJqjR1YWyUM/DU6stS12v9meYD3Trdo6qplzVCMa1WOyc+f53mON5sX0+JJPpWa2IkGMgpL9FF0xBvnwGIs9e1+jgZkwgZYwCQYDVR0TBAIwADAOBgNVHQ8BAf8EBAMCA4gwHQYDVR0lBBYwFAYIKwYBBQUHAwEGCCsGAQUFBwMCMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAdBgNVHQ4EFgQU95mdgYTexmq0TRRAHZJSsKxVXvkwHwYDVR0jBBgwFoAUWbMwSE01XjAHjv0hDTPtL58NswkwCgYIKoZIzj0EAwIDSAAwRQIhAMJCVQREKX/Ap1aKS048sP+lMiw8j7h0l/buDwYL+W9DAiAd8O6t2GzkXv06GMxAaz2e4ahFWXrLyJBL01fbiarwIQ==",
            "clientSecretKey":"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgONtgU+5r8nxk6rIQ1fp+RBtGe8aD2bXSt7n3n/JHaaqhRANCAATbbDqGRdCvVFGXezjqBrrTS35+G4J7XlesEDZEQPhlACiG++JU41Em99owVZUhbA3Vmqaxw9ZOGXvGXS2qdeiN"}}}"#,
};

pub(super) fn admission(sample: Sample) -> Admission {
    admission_with(sample.profile, sample.credentials)
}

pub(super) fn admission_with(profile: &str, credentials: &str) -> Admission {
    #[derive(serde::Deserialize)]
    struct Document {
        client: crate::platform::credentials::ClientCredentials,
        bootstrap: crate::platform::credentials::BootstrapCredentials,
    }
    let document: Document = serde_json::from_str(credentials).unwrap();
    Admission {
        device: Arc::new(DeviceInfo {
            tenant: PlatformId(Uuid::from_u128(1)),
            customer: PlatformId::NULL,
            device: PlatformId(Uuid::from_u128(2)),
            profile: PlatformId(Uuid::from_u128(3)),
            name: "Device 1".to_owned(),
            kind: "profile".to_owned(),
        }),
        client: document.client,
        bootstrap: Some(document.bootstrap),
        profile: Arc::new(DeviceProfile {
            id: PlatformId(Uuid::from_u128(3)),
            name: "profile".to_owned(),
            transport: serde_json::from_str(profile).unwrap(),
        }),
        power: PowerSettings::default(),
    }
}
