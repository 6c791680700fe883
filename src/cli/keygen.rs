//! `lightship keygen`: keys and certificates for trials: pre-shared keys, key pairs, a small certificate authority.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use rand::TryRng;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::server::clock;

use super::serve::complain;

/// Arguments of `keygen`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Keygen {
    #[command(subcommand)]
    what: What,
    /// Folder for the files; none that is there already is written over.
    #[arg(long, global = true, default_value = ".", value_name = "FOLDER")]
    out: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// A pre-shared key; prints the credentials of the device.
    Psk {
        /// Endpoint client name of the device.
        endpoint: String,
        /// PSK identity; the endpoint client name by default.
        #[arg(long)]
        identity: Option<String>,
    },
    /// A key pair, EP.key.pem, to be used without certificate; prints the credentials of the device.
    Rpk {
        /// Endpoint client name of the device.
        endpoint: String,
    },
    /// A certificate authority: ca.pem and ca.key.pem.
    Ca {
        /// Its common name.
        #[arg(long, default_value = "Lightship trial CA")]
        name: String,
    },
    /// A certificate of that authority for a device: EP.pem and EP.key.pem; prints the credentials of the device.
    Device {
        /// Endpoint client name of the device, and common name of the certificate.
        endpoint: String,
        /// Pins the certificate: this one is accepted, whoever signed it, instead of any of a trusted authority.
        #[arg(long)]
        pinned: bool,
    },
    /// A certificate of that authority for a server: lwm2mserver.pem and lwm2mserver_key.pem.
    Server {
        /// Names and addresses by which devices know the server, and callers of its HTTPS.
        #[arg(default_values = ["localhost", "127.0.0.1"])]
        names: Vec<String>,
    },
    /// A certificate of that authority for a caller of the HTTPS side: NAME.pem and NAME.key.pem.
    Client {
        /// Its common name.
        name: String,
    },
}

const EXAMPLES: &str = "Examples:
  lightship keygen psk meter-1 > registry/devices/meter-1.json
  lightship keygen ca --out pki
  lightship keygen server lwm2m.example.org --out pki
  lightship keygen device meter-2 --out pki > registry/devices/meter-2.json
  lightship keygen client operator --out pki

The printed document is what embedded mode reads from registry/devices, and its member `credentials` is what the platform
stores for a device. Private keys are written so that only you can read them. For trials: the authority has no way to
revoke what it signed, and everything is valid for ten years.";

impl Keygen {
    /// Exit status 0 when everything is written, else 1.
    pub fn run(&self) -> ExitCode {
        let printed = self.make().and_then(|document| {
            if let Some(document) = document {
                writeln!(io::stdout(), "{document:#}")?;
            }
            Ok(())
        });
        match printed {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format_args!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    fn make(&self) -> anyhow::Result<Option<Value>> {
        match &self.what {
            What::Psk { endpoint, identity } => {
                let key = random_key()?;
                let identity = identity.as_ref().unwrap_or(endpoint);
                let client = json!({ "securityConfigClientMode": "PSK", "endpoint": endpoint, "identity": identity, "key": key });
                let account = json!({ "securityMode": "PSK", "clientPublicKeyOrId": identity, "clientSecretKey": key });
                Ok(Some(document(endpoint, client, account)))
            }
            What::Rpk { endpoint } => {
                let key = new_key()?;
                self.write_key(&key_file(endpoint)?, &key)?;
                let public = STANDARD.encode(key.subject_public_key_info());
                let client = json!({ "securityConfigClientMode": "RPK", "endpoint": endpoint, "key": public });
                let secret = STANDARD.encode(key.serialized_der());
                let account = json!({ "securityMode": "RPK", "clientPublicKeyOrId": public, "clientSecretKey": secret });
                Ok(Some(document(endpoint, client, account)))
            }
            What::Ca { name } => {
                let key = new_key()?;
                let mut params = valid_for_ten_years(name);
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
                let certificate = params.self_signed(&key)?;
                self.write_key(Path::new(CA_KEY), &key)?;
                self.write(Path::new(CA), &certificate.pem(), false)?;
                Ok(None)
            }
            What::Device { endpoint, pinned } => {
                let (certificate, key) = self.make_client(endpoint)?;
                let own = STANDARD.encode(&certificate);
                let pin = if *pinned { own.as_str() } else { "" };
                let client = json!({ "securityConfigClientMode": "X509", "endpoint": endpoint, "cert": pin });
                let secret = STANDARD.encode(key.serialized_der());
                let account = json!({ "securityMode": "X509", "clientPublicKeyOrId": own, "clientSecretKey": secret });
                Ok(Some(document(endpoint, client, account)))
            }
            What::Client { name } => {
                self.make_client(name)?;
                Ok(None)
            }
            What::Server { names } => {
                let key = new_key()?;
                let first = names.first().map_or("localhost", String::as_str);
                let mut params = valid_for_ten_years(first);
                params.subject_alt_names = CertificateParams::new(names.clone())?.subject_alt_names;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                let (_, chain) = self.sign(params, &key)?;
                self.write_key(Path::new(SERVER_KEY), &key)?;
                self.write(Path::new(SERVER), &chain, false)?;
                Ok(None)
            }
        }
    }

    /// Writes a certificate for who opens connections, and its key; the certificate in DER, and the key.
    fn make_client(&self, name: &str) -> anyhow::Result<(Vec<u8>, KeyPair)> {
        let key = new_key()?;
        let mut params = valid_for_ten_years(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, chain) = self.sign(params, &key)?;
        self.write_key(&key_file(name)?, &key)?;
        self.write(&file_name(name, "pem")?, &chain, false)?;
        Ok((certificate, key))
    }

    /// Has the authority in the folder sign; the certificate in DER, and in PEM with the authority's behind it.
    fn sign(
        &self,
        mut params: CertificateParams,
        key: &KeyPair,
    ) -> anyhow::Result<(Vec<u8>, String)> {
        let read = |name: &str| {
            let file = self.out.join(name);
            fs::read_to_string(&file).with_context(|| {
                format!(
                    "{}: make an authority first: lightship keygen ca --out {}",
                    file.display(),
                    self.out.display()
                )
            })
        };
        let (ca, ca_key) = (read(CA)?, Zeroizing::new(read(CA_KEY)?));
        let ca_key = KeyPair::from_pem(&ca_key).with_context(|| CA_KEY.to_owned())?;
        let issuer = Issuer::from_ca_cert_pem(&ca, ca_key).with_context(|| CA.to_owned())?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &issuer)?;
        let chain = format!("{}{ca}", certificate.pem());
        Ok((certificate.der().to_vec(), chain))
    }

    fn write_key(&self, name: &Path, key: &KeyPair) -> anyhow::Result<()> {
        self.write(name, &Zeroizing::new(key.serialize_pem()), true)
    }

    /// Writes a file that is not there yet, and says so.
    fn write(&self, name: &Path, text: &str, secret: bool) -> anyhow::Result<()> {
        fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        let file = self.out.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(if secret { 0o600 } else { 0o644 });
        }
        let written = options
            .open(&file)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| file.display().to_string())?;
        writeln!(io::stderr(), "{}", file.display())?;
        Ok(())
    }
}

/// 16 random bytes in hexadecimal.
pub(super) fn random_key() -> anyhow::Result<String> {
    let mut key = Zeroizing::new([0_u8; 16]);
    rand::rngs::SysRng.try_fill_bytes(&mut *key)?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn new_key() -> anyhow::Result<KeyPair> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn valid_for_ten_years(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = clock::now().wall.0.unsigned_abs();
    let now = UNIX_EPOCH + Duration::from_millis(now);
    params.not_before = now.into();
    params.not_after = (now + TEN_YEARS).into();
    params
}

/// What embedded mode reads of a device.
fn document(endpoint: &str, client: Value, account: Value) -> Value {
    json!({
        "deviceName": endpoint,
        "profile": "default",
        "credentials": {
            "client": client,
            "bootstrap": { "bootstrapServer": account, "lwm2mServer": account },
        },
    })
}

fn key_file(endpoint: &str) -> anyhow::Result<PathBuf> {
    file_name(endpoint, "key.pem")
}

/// A file called like an endpoint, in the folder and nowhere else.
fn file_name(endpoint: &str, extension: &str) -> anyhow::Result<PathBuf> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
    anyhow::ensure!(
        endpoint.chars().all(is_plain) && !endpoint.starts_with('.'),
        "`{endpoint}` cannot be the name of a file: letters, digits, `-`, `_`, `.` and `:` can"
    );
    Ok(PathBuf::from(format!("{endpoint}.{extension}")))
}

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key.pem";
const SERVER: &str = "lwm2mserver.pem";
const SERVER_KEY: &str = "lwm2mserver_key.pem";

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use crate::{
        platform::credentials::ClientCredentials,
        server::keys::{
            self,
            settings::{CredentialSettings, TrustSettings},
        },
    };

    use super::*;

    fn keygen(out: &Path, what: What) -> anyhow::Result<Option<Value>> {
        let out = out.to_owned();
        Keygen { what, out }.make()
    }

    fn client(document: Option<Value>) -> ClientCredentials {
        let document = document.unwrap();
        serde_json::from_value(document["credentials"]["client"].clone()).unwrap()
    }

    #[test]
    fn a_pre_shared_key_is_another_each_time() {
        let make = || {
            let what = What::Psk {
                endpoint: "meter-1".to_owned(),
                identity: None,
            };
            client(keygen(Path::new("nowhere"), what).unwrap())
        };
        let ClientCredentials::Psk {
            endpoint,
            identity,
            key,
        } = make()
        else {
            panic!("not a PSK");
        };
        assert_eq!(
            (endpoint.as_str(), identity.as_str()),
            ("meter-1", "meter-1")
        );
        assert!(key.len() == 32 && key.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(
            make(),
            ClientCredentials::Psk {
                endpoint,
                identity,
                key
            }
        );
    }

    #[test]
    fn an_authority_signs_for_servers_and_devices() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let device = |endpoint: &str, pinned| What::Device {
            endpoint: endpoint.to_owned(),
            pinned,
        };
        let error = keygen(out, device("early", false)).unwrap_err();
        assert!(
            format!("{error:#}").contains("lightship keygen ca --out"),
            "{error:#}"
        );
        let ca = || What::Ca {
            name: "Test".to_owned(),
        };
        keygen(out, ca()).unwrap();
        assert!(keygen(out, ca()).is_err(), "written over");
        let names = vec!["lwm2m.example.org".to_owned(), "192.0.2.1".to_owned()];
        keygen(out, What::Server { names }).unwrap();

        let credentials = CredentialSettings {
            cert_file: out.join(SERVER),
            key_file: out.join(SERVER_KEY),
            ..CredentialSettings::default()
        };
        let server = credentials.load("server").unwrap();
        let trust = TrustSettings {
            cert_file: out.join(CA),
            ..TrustSettings::default()
        };
        let trusted = trust.load().unwrap();
        assert_eq!(server.chain[1..], trusted);
        let (_, authority) = X509Certificate::from_der(&trusted[0]).unwrap();

        for pinned in [false, true] {
            let name = if pinned { "pinned" } else { "chained" };
            let made = client(keygen(out, device(name, pinned)).unwrap());
            let leaf = keys::certificates(&out.join(format!("{name}.pem")), "")
                .unwrap()
                .swap_remove(0);
            let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
            assert_eq!(certificate.issuer(), authority.subject());
            assert_eq!(certificate.subject().to_string(), format!("CN={name}"));
            assert!(!certificate.is_ca());
            let cert = Some(if pinned {
                STANDARD.encode(&leaf)
            } else {
                String::new()
            });
            let endpoint = name.to_owned();
            assert_eq!(made, ClientCredentials::X509 { endpoint, cert });
        }
        #[cfg(unix)]
        for key in [CA_KEY, SERVER_KEY, "pinned.key.pem"] {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(out.join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
    }

    #[test]
    fn a_key_pair_is_printed_as_the_platform_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let what = What::Rpk {
            endpoint: "meter-3".to_owned(),
        };
        let ClientCredentials::Rpk { key, .. } = client(keygen(folder.path(), what).unwrap())
        else {
            panic!("not an RPK");
        };
        // A P-256 SubjectPublicKeyInfo with an uncompressed point.
        let spki = STANDARD.decode(key).unwrap();
        assert_eq!((spki.len(), spki[26]), (91, 4));
        assert!(folder.path().join("meter-3.key.pem").exists());
    }

    #[test]
    fn a_name_does_not_lead_out_of_the_folder() {
        for endpoint in ["../x", "a/b", ".hidden", "a\\b", "a b"] {
            assert!(file_name(endpoint, "pem").is_err(), "{endpoint}");
        }
        assert!(file_name("urn:imei:490154203237518", "pem").is_ok());
    }
}
