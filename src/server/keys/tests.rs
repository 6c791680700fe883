use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::*;

/// Keys made by other tools; see the README there.
fn file(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys")).join(name)
}

fn password() -> Secret {
    Secret::new("test-password")
}

fn pem(cert: &str, key: &str) -> CredentialSettings {
    CredentialSettings {
        cert_file: file(cert),
        key_file: file(key),
        key_password: password(),
        ..CredentialSettings::default()
    }
}

fn keystore(name: &str) -> CredentialSettings {
    CredentialSettings {
        form: StoreForm::Keystore,
        keystore_file: file(name),
        keystore_password: password(),
        ..CredentialSettings::default()
    }
}

/// The DER form of a file with one section.
fn der(name: &str) -> Vec<u8> {
    ::pem::parse(fs::read(file(name)).unwrap())
        .unwrap()
        .into_contents()
}

#[test]
fn keys_are_read_in_pkcs8_encrypted_or_not_and_sec1() {
    for (key, expected) in [
        ("pkcs8.key.pem", der("pkcs8.key.pem")),
        ("encrypted.key.pem", der("pkcs8.key.pem")),
        ("sec1.key.pem", der("sec1.key.pem")),
    ] {
        let material = pem("ca.pem", key).load("server").unwrap();
        assert_eq!(material.chain, [der("ca.pem")], "{key}");
        assert_eq!(*material.key, expected, "{key}");
        assert_eq!(format!("{material:?}"), "KeyMaterial(1 certificates)");
    }
}

#[test]
fn a_keystore_is_known_by_what_it_holds() {
    for name in ["openssl.p12", "keytool.jks"] {
        let material = keystore(name).load("server").unwrap();
        assert_eq!(material.chain, [der("leaf.pem"), der("ca.pem")], "{name}");
        assert_eq!(*material.key, der("leaf.key.pem"), "{name}");
    }
    let pem_in_disguise = CredentialSettings {
        keystore_file: file("pkcs8.key.pem"),
        ..keystore("")
    };
    let error = pem_in_disguise.load("server").unwrap_err();
    assert!(matches!(error.reason, KeyFault::NoCertificate), "{error}");
}

#[test]
fn the_keystore_stands_in_for_a_pem_file_that_is_not_there() {
    let settings = CredentialSettings {
        form: StoreForm::Pem,
        cert_file: file("absent.pem"),
        ..keystore("openssl.p12")
    };
    assert_eq!(settings.load("server").unwrap().chain.len(), 2);
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_to_do() {
    let alias = CredentialSettings {
        key_alias: Some("bootstrap".to_owned()),
        ..keystore("openssl.p12")
    };
    let wrong_password = CredentialSettings {
        keystore_password: Secret::new("secret-no-one-may-see"),
        ..keystore("openssl.p12")
    };
    let wrong_key_password = CredentialSettings {
        key_password: Secret::new("secret-no-one-may-see"),
        ..pem("ca.pem", "encrypted.key.pem")
    };
    let classpath = CredentialSettings {
        keystore_file: "classpath:lwm2mserver.jks".into(),
        ..keystore("")
    };
    for (settings, named, told) in [
        (keystore("java.jks"), "java.jks", "keytool -importkeystore"),
        (
            alias,
            "openssl.p12",
            "no private key `bootstrap` in it, only `server`",
        ),
        (wrong_password, "openssl.p12", "the password is wrong"),
        (wrong_key_password, "encrypted.key.pem", "wrong password"),
        (classpath, "classpath:lwm2mserver.jks", "path of a file"),
        (
            pem("ca.pem", "legacy.key.pem"),
            "legacy.key.pem",
            "openssl pkcs8 -topk8",
        ),
        (pem("ca.pem", "rsa.key.pem"), "rsa.key.pem", "P-256"),
        (pem("ca.pem", "leaf.pem"), "leaf.pem", "no private key"),
        (
            pem("pkcs8.key.pem", "pkcs8.key.pem"),
            "pkcs8.key.pem",
            "no certificate",
        ),
        (
            pem("absent.pem", "absent.pem"),
            "absent.pem",
            "No such file",
        ),
        (
            pem("README.md", "README.md"),
            "README.md",
            "neither PEM nor PKCS#12",
        ),
    ] {
        let error = settings.credentials("server").unwrap_err().to_string();
        assert!(error.contains(named) && error.contains(told), "{error}");
        assert!(!error.contains("secret-no-one-may-see"), "{error}");
    }
}

#[test]
fn only_certificates_of_issuers_are_trusted() {
    let trust = |form, name: &str| TrustSettings {
        form,
        cert_file: file(name),
        keystore_file: file(name),
        keystore_password: password(),
        ..TrustSettings::default()
    };
    for (form, name) in [
        (StoreForm::Pem, "ca.pem"),
        (StoreForm::Keystore, "trust.jks"),
        (StoreForm::Keystore, "openssl.p12"),
    ] {
        assert_eq!(trust(form, name).load().unwrap(), [der("ca.pem")], "{name}");
    }
    // Whatever key is beside them, and whoever issued what.
    let both = trust(StoreForm::Keystore, "loose.p12").load().unwrap();
    assert_eq!(both, [der("ca.pem"), der("other-ca.pem")]);
    let error = trust(StoreForm::Pem, "leaf.pem").load().unwrap_err();
    assert!(matches!(error.reason, KeyFault::NoIssuer), "{error}");
}

#[test]
fn s21_a_replaced_file_is_noticed_once_whatever_its_date() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, link) = (
        folder.path().join("1.pem"),
        folder.path().join("2.pem"),
        folder.path().join("tls.crt"),
    );
    fs::write(&one, "first").unwrap();
    fs::write(&two, "other").unwrap();
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let mut watch = Watch::new(vec![link.clone(), folder.path().join("absent.pem")]);
    assert!(!watch.has_changed());
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&two, &link).unwrap();
    assert!(watch.has_changed());
    assert!(!watch.has_changed());
    fs::write(folder.path().join("absent.pem"), "appeared").unwrap();
    assert!(watch.has_changed());
}

#[tokio::test]
async fn s21_files_that_change_are_read_when_they_rest_and_unusable_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(file("leaf.pem"), path("tls.crt")).unwrap();
    fs::copy(file("leaf.key.pem"), path("tls.key")).unwrap();
    let server = CredentialSettings {
        enabled: true,
        cert_file: path("tls.crt"),
        key_file: path("tls.key"),
        ..CredentialSettings::default()
    };
    let files = KeyFiles {
        server,
        bootstrap: CredentialSettings::default(),
        trust: TrustSettings::default(),
    };
    let watch = files.watch();
    let (sender, mut keys) = tokio::sync::watch::channel(files.load().unwrap());
    let spki = |keys: &BothKeys| {
        let credentials = keys.server.credentials.as_ref();
        credentials.map(|credentials| credentials.spki().to_vec())
    };
    let before = spki(&keys.borrow());
    let interval = std::time::Duration::from_millis(20);
    let watching = tokio::spawn(reload(watch, move || files.load(), interval, sender));
    // The certificate is there before its key: nobody reads what is between.
    fs::copy(file("ca.pem"), path("tls.crt")).unwrap();
    tokio::time::sleep(interval * 4).await;
    fs::copy(file("pkcs8.key.pem"), path("tls.key")).unwrap();
    let changed = tokio::time::timeout(std::time::Duration::from_secs(20), keys.changed());
    changed.await.unwrap().unwrap();
    let after = spki(&keys.borrow());
    assert_ne!(before, after);
    fs::write(path("tls.crt"), "no certificate").unwrap();
    let changed = tokio::time::timeout(std::time::Duration::from_secs(3), keys.changed());
    assert!(changed.await.is_err(), "what was there before stays");
    assert_eq!(spki(&keys.borrow()), after);
    watching.abort();
}

#[tokio::test]
async fn s21_a_file_that_is_replaced_right_after_it_was_read_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let cert_file = folder.path().join("trust.pem");
    fs::copy(file("ca.pem"), &cert_file).unwrap();
    let files = KeyFiles {
        server: CredentialSettings::default(),
        bootstrap: CredentialSettings::default(),
        trust: TrustSettings {
            enabled: true,
            cert_file: cert_file.clone(),
            ..TrustSettings::default()
        },
    };
    let watch = files.watch();
    let (sender, mut keys) = tokio::sync::watch::channel(files.load().unwrap());
    fs::copy(file("other-ca.pem"), &cert_file).unwrap();
    let watching = tokio::spawn(reload(
        watch,
        move || files.load(),
        std::time::Duration::from_millis(20),
        sender,
    ));
    let changed = tokio::time::timeout(std::time::Duration::from_secs(20), keys.changed());
    changed.await.unwrap().unwrap();
    watching.abort();
}

#[tokio::test]
async fn s21_a_panic_while_files_are_read_does_not_end_reloading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let watch = Watch::new(vec![path.clone()]);
    fs::write(&path, "changed").unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    let load = move || {
        let tried = tries.fetch_add(1, Ordering::Relaxed);
        assert!(tried > 0, "the first try panics");
        Ok(tried)
    };
    let (sender, mut keys) = tokio::sync::watch::channel(0);
    let interval = std::time::Duration::from_millis(20);
    let watching = tokio::spawn(reload(watch, load, interval, sender));
    let changed = tokio::time::timeout(std::time::Duration::from_secs(20), keys.changed());
    changed.await.unwrap().unwrap();
    assert_eq!(*keys.borrow(), 1);
    watching.abort();
}

#[test]
fn a_start_that_cannot_read_its_keys_names_setting_and_file() {
    let of = |server: CredentialSettings, trust: TrustSettings| {
        let bootstrap = CredentialSettings::default();
        let files = KeyFiles {
            server,
            bootstrap,
            trust,
        };
        files.load().unwrap_err().to_string()
    };
    let mismatch = CredentialSettings {
        enabled: true,
        ..pem("ca.pem", "leaf.key.pem")
    };
    let error = of(mismatch, TrustSettings::default());
    assert!(
        error.contains("lwm2m.server.credentials: ")
            && error.contains("ca.pem: the first certificate is not for the private key"),
        "{error}"
    );
    let absent = TrustSettings {
        enabled: true,
        cert_file: file("absent.pem"),
        ..TrustSettings::default()
    };
    let error = of(CredentialSettings::default(), absent);
    assert!(
        error.contains("lwm2m.trust: ") && error.contains("absent.pem"),
        "{error}"
    );
}
