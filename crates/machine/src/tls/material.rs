//! Certificates and keys as they are in files, and every complaint about one names its file.

use std::fs;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use super::{Common, LoadError};

/// What was in the files.
pub(super) struct Material {
    /// Our certificate and its key.
    pub(super) identity: Option<(X509, PKey<Private>)>,
    /// Who signed our certificate, and who signed that.
    chain: Vec<X509>,
    /// Who signs the other side.
    pub(super) authorities: Vec<X509>,
}

impl Material {
    pub(super) fn read(common: &Common) -> Result<Material, LoadError> {
        let (mut identity, mut chain) = (None, Vec::new());
        match (&common.certificate, &common.key) {
            (Some(certificate), Some(key)) => {
                let mut all = certificates(certificate)?.into_iter();
                let first = all.next().expect("a list of certificates is not empty");
                identity = Some((first, private_key(key)?));
                chain = all.collect();
            }
            (None, None) => {}
            (Some(_), None) => return Err(LoadError::new("a certificate without its key file")),
            (None, Some(_)) => return Err(LoadError::new("a key without its certificate file")),
        }
        let authorities = common.authorities.as_deref().map(certificates).transpose()?;
        Ok(Material { identity, chain, authorities: authorities.unwrap_or_default() })
    }

    pub(super) fn put_into(
        &self,
        builder: &mut SslContextBuilder,
        common: &Common,
    ) -> Result<(), LoadError> {
        if let Some((certificate, key)) = &self.identity {
            let blame = |error: ErrorStack| match &common.certificate {
                Some(path) => LoadError::of(path, words(&error)),
                None => error.into(),
            };
            builder.set_certificate(certificate).map_err(blame)?;
            for signer in &self.chain {
                builder.add_extra_chain_cert(signer.clone()).map_err(blame)?;
            }
            let fits = builder.set_private_key(key).and_then(|()| builder.check_private_key());
            if fits.is_err() {
                let path = common.key.as_deref().unwrap_or(Path::new("the key"));
                return Err(LoadError::of(path, "is not the key of the certificate"));
            }
        }
        if !self.authorities.is_empty() {
            let mut store = X509StoreBuilder::new()?;
            for authority in &self.authorities {
                store.add_cert(authority.clone())?;
            }
            builder.set_cert_store(store.build());
        }
        Ok(())
    }
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<X509>, LoadError> {
    let pem = fs::read(path).map_err(|error| LoadError::of(path, error))?;
    match X509::stack_from_pem(&pem) {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(LoadError::of(path, "no certificate in PEM is in it")),
    }
}

fn private_key(path: &Path) -> Result<PKey<Private>, LoadError> {
    let pem = fs::read(path).map_err(|error| LoadError::of(path, error))?;
    let mut is_locked = false;
    // Without this OpenSSL would ask at the terminal.
    let key = PKey::private_key_from_pem_callback(&pem, |_| {
        is_locked = true;
        Err(ErrorStack::get())
    });
    let why = if is_locked { "needs a passphrase" } else { "no private key in PEM is in it" };
    key.map_err(|_| LoadError::of(path, why))
}

fn words(error: &ErrorStack) -> String {
    let first = error.errors().first().and_then(|error| error.reason());
    first.unwrap_or("OpenSSL does not take it").to_owned()
}
