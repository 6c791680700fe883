//! Keys and certificates of the server's own, and of issuers it trusts: read from files, and read again when they change
//! (`security.md` 6.1 and 6.3).
//!
//! Files are told apart by what they hold, not by their names: keystores of the platform that are called `.jks` are PKCS#12
//! (`rulings` 6.10).

mod pem;
mod pkcs12;
mod reload;
pub mod settings;
mod tls;
mod watch;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::{
    dtls::{Credentials, CredentialsError, TrustStore},
    platform::secret::Secret,
};

use settings::{CredentialSettings, StoreForm, TrustSettings};

pub use reload::{BothKeys, KeyFiles, KeySettingError, Keys, reload};
pub use tls::{client_verifier, provider};
pub use watch::Watch;

/// A private key with the certificates for it.
pub struct KeyMaterial {
    /// DER certificates, that of the key first.
    pub chain: Vec<Vec<u8>>,
    /// The key, DER in PKCS#8, SEC1 or PKCS#1 form.
    pub key: Zeroizing<Vec<u8>>,
    /// Where the certificates were.
    cert_file: PathBuf,
    /// Where the key was.
    key_file: PathBuf,
}

impl KeyMaterial {
    /// Reads the certificates of one file, and the key, which is in the same one or in `key_file`.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn read(cert_file: &Path, key_file: &Path, password: &str) -> Result<Self, KeyError> {
        let mut contents = read(cert_file, password, None)?;
        if contents.certificates.is_empty() || contents.key.is_some() {
            return material(contents, cert_file, cert_file);
        }
        contents.key = Some(private_key(key_file, password)?);
        material(contents, cert_file, key_file)
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({} certificates)", self.chain.len())
    }
}

/// What one file holds.
#[derive(Default)]
struct Contents {
    certificates: Vec<Vec<u8>>,
    key: Option<Zeroizing<Vec<u8>>>,
}

/// Why a file cannot be used; the message names it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", .file.display())]
pub struct KeyError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: KeyFault,
}

/// What is wrong with a file of keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// A path into a Java archive.
    #[error("`classpath:` names a file inside a Java program; give the path of a file")]
    Classpath,
    /// A keystore in Java's own form.
    #[error(
        "a keystore in Java's own form (JKS), which only Java reads; convert it: keytool -importkeystore -srckeystore {} \
         -destkeystore {} -deststoretype PKCS12",
        .0.display(), .0.with_extension("p12").display()
    )]
    Jks(PathBuf),
    /// A key in the old encrypted form of OpenSSL.
    #[error(
        "a key in OpenSSL's old encrypted form; convert it: openssl pkcs8 -topk8 -in OLD -out NEW"
    )]
    LegacyEncryption,
    /// The password is wrong, or the encryption is not known.
    #[error("the key cannot be decrypted: wrong password, or an encryption other than PBES2")]
    Decrypt,
    /// It is neither PEM nor PKCS#12, or the password is wrong.
    #[error("neither PEM nor PKCS#12, or the password is wrong")]
    Form,
    /// There is no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// There is no key.
    #[error("there is no private key in it")]
    NoKey,
    /// There is no key of this name.
    #[error("there is no private key `{0}` in it, only {1}")]
    NoAlias(String, String),
    /// Key and certificates are no use together.
    #[error("{0}")]
    Unusable(#[from] CredentialsError),
    /// The key is none that TLS has signatures for.
    #[error("not a private key of RSA, ECDSA or Ed25519 in PKCS#8, SEC1 or PKCS#1 form")]
    NotForTls,
    /// TLS refuses it.
    #[error("TLS cannot use it: {0}")]
    Tls(#[from] rustls::Error),
    /// No certificate is one of an issuer.
    #[error("none of its certificates may issue others (basicConstraints CA)")]
    NoIssuer,
}

impl KeyFault {
    fn of(self, file: &Path) -> KeyError {
        KeyError {
            file: file.to_owned(),
            reason: self,
        }
    }
}

impl CredentialSettings {
    /// Reads key and certificates. `alias` is the name of the key in a keystore, where the settings have none.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(&self, alias: &str) -> Result<KeyMaterial, KeyError> {
        if self.reads_keystore() {
            let file = &self.keystore_file;
            let alias = Some(self.key_alias.as_deref().unwrap_or(alias));
            let contents = read(
                file,
                or_default(&self.keystore_password, KEYSTORE_PASSWORD),
                alias,
            )?;
            return material(contents, file, file);
        }
        let password = or_default(&self.key_password, KEY_PASSWORD);
        KeyMaterial::read(&self.cert_file, &self.key_file, password)
    }

    /// As [`Self::load`], made ready for use.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn credentials(&self, alias: &str) -> Result<Credentials, KeyError> {
        let material = self.load(alias)?;
        Credentials::new(material.chain, &material.key).map_err(|error| {
            let file = match error {
                CredentialsError::Key => material.key_file,
                CredentialsError::Certificate(_) | CredentialsError::Mismatch => material.cert_file,
            };
            KeyFault::Unusable(error).of(&file)
        })
    }

    fn reads_keystore(&self) -> bool {
        reads_keystore(self.form, &self.cert_file, &self.keystore_file)
    }

    /// The files that [`Self::load`] looks at.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = [&self.cert_file, &self.key_file, &self.keystore_file];
        files.map(PathBuf::clone).to_vec()
    }
}

impl TrustSettings {
    /// Reads the DER certificates of issuers.
    ///
    /// # Errors
    /// The file cannot be used, or no certificate in it is one of an issuer.
    pub fn load(&self) -> Result<Vec<Vec<u8>>, KeyError> {
        let file = self.file();
        let password = or_default(&self.keystore_password, KEYSTORE_PASSWORD);
        read_issuers(file, password)
    }

    /// As [`Self::load`], made ready for use.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn store(&self) -> Result<TrustStore, KeyError> {
        let certificates = self.load()?;
        TrustStore::new(certificates.iter().map(Vec::as_slice))
            .map_err(|error| KeyFault::Unusable(error).of(self.file()))
    }

    fn file(&self) -> &Path {
        if reads_keystore(self.form, &self.cert_file, &self.keystore_file) {
            &self.keystore_file
        } else {
            &self.cert_file
        }
    }

    /// The files that [`Self::load`] looks at.
    pub fn files(&self) -> Vec<PathBuf> {
        vec![self.cert_file.clone(), self.keystore_file.clone()]
    }
}

/// As the platform does: the keystore stands in for a PEM file that is not there.
fn reads_keystore(form: StoreForm, cert_file: &Path, keystore_file: &Path) -> bool {
    form == StoreForm::Keystore || (!cert_file.exists() && keystore_file.exists())
}

/// A password, or the platform's default, which is published and no secret.
fn or_default<'a>(password: &'a Secret, default: &'static str) -> &'a str {
    if password.is_empty() {
        return default;
    }
    password.expose()
}

const KEY_PASSWORD: &str = "server_key_password";
const KEYSTORE_PASSWORD: &str = "server_ks_password";

/// All DER certificates of one file, whatever keys are beside them; at least one.
///
/// # Errors
/// The file cannot be used.
pub fn certificates(file: &Path, password: &str) -> Result<Vec<Vec<u8>>, KeyError> {
    let (bytes, form) = open(file)?;
    let certificates = match form {
        Form::Pkcs12 => pkcs12::certificates(&bytes, password),
        Form::Pem => pem::certificates(&bytes),
    };
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(KeyFault::NoCertificate.of(file)),
        other => other.map_err(|fault| fault.of(file)),
    }
}

/// The private key in a file, DER in PKCS#8 or SEC1 form; the first one.
///
/// # Errors
/// The file cannot be used.
pub fn private_key(file: &Path, password: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let key = read(file, password, None)?.key;
    key.ok_or_else(|| KeyFault::NoKey.of(file))
}

/// Reads one file. `alias` names the key wanted of a keystore; blank: the first one.
fn read(file: &Path, password: &str, alias: Option<&str>) -> Result<Contents, KeyError> {
    let (bytes, form) = open(file)?;
    let contents = match form {
        Form::Pkcs12 => pkcs12::read(&bytes, password, alias.unwrap_or_default()),
        Form::Pem => pem::read(&bytes, password),
    };
    contents.map_err(|fault| fault.of(file))
}

/// The forms that can be read.
enum Form {
    Pem,
    Pkcs12,
}

fn open(file: &Path) -> Result<(Zeroizing<Vec<u8>>, Form), KeyError> {
    if file.to_string_lossy().starts_with("classpath:") {
        return Err(KeyFault::Classpath.of(file));
    }
    let bytes = fs::read(file).map_err(|error| KeyFault::Read(error).of(file))?;
    let bytes = Zeroizing::new(bytes);
    if bytes.starts_with(&JKS) || bytes.starts_with(&JCEKS) {
        return Err(KeyFault::Jks(file.to_owned()).of(file));
    }
    let form = if bytes.first() == Some(&DER_SEQUENCE) {
        Form::Pkcs12
    } else {
        Form::Pem
    };
    Ok((bytes, form))
}

fn material(
    contents: Contents,
    cert_file: &Path,
    key_file: &Path,
) -> Result<KeyMaterial, KeyError> {
    if contents.certificates.is_empty() {
        return Err(KeyFault::NoCertificate.of(cert_file));
    }
    let key = contents.key.ok_or_else(|| KeyFault::NoKey.of(key_file))?;
    Ok(KeyMaterial {
        chain: contents.certificates,
        key,
        cert_file: cert_file.to_owned(),
        key_file: key_file.to_owned(),
    })
}

/// The DER certificates of a file that may issue others.
///
/// # Errors
/// The file cannot be used, or there is none.
pub fn read_issuers(file: &Path, password: &str) -> Result<Vec<Vec<u8>>, KeyError> {
    let mut certificates = certificates(file, password)?;
    certificates.retain(|der| is_issuer(der));
    if certificates.is_empty() {
        return Err(KeyFault::NoIssuer.of(file));
    }
    Ok(certificates)
}

/// Whether a DER certificate is one of an issuer.
fn is_issuer(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.is_ca())
}

/// How keystores in Java's own forms begin.
const JKS: [u8; 4] = [0xFE, 0xED, 0xFE, 0xED];
const JCEKS: [u8; 4] = [0xCE, 0xCE, 0xCE, 0xCE];
/// How PKCS#12 begins.
const DER_SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests;
