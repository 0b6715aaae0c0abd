//! TLS to the SIEM: whose name it must show, who may vouch for it, and what this device shows.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Endpoint, EndpointHost};
use crate::siem::line::Counted;
use crate::siem::problem::Problem;
use crate::siem::settings::TlsFiles;

/// Makes TLS of a stream, and verifies who is at its other end (RFC 5425 section 5.2).
pub(super) async fn handshake(
    stream: Counted,
    endpoint: &Endpoint,
    files: &TlsFiles,
    say: &dyn Fn(&str),
) -> Result<TlsStream<Counted>, Problem> {
    let name = match &endpoint.host {
        EndpointHost::Address(address) => ServerName::from(*address),
        EndpointHost::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|_| Problem::new(format!("`{name}` is no name that a certificate may have")))?,
    };
    let connector = TlsConnector::from(Arc::new(client(files)?));
    let stream = connector.connect(name, stream).await.map_err(|error| explained(&error))?;
    say("TLS is agreed on, and the SIEM's certificate is good for its name");
    Ok(stream)
}

fn client(files: &TlsFiles) -> Result<ClientConfig, Problem> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(authorities(files)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
    let verifier =
        verifier.map_err(|error| Problem::new(format!("failed to use the authorities: {error}")))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(format!("failed to set TLS up: {error}")))?
        .with_webpki_verifier(verifier);
    let Some((certificate, key)) = &files.client else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate, "siem_client_certificate")?;
    let key =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, "siem_client_key", &error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        Problem::new(format!("the client certificate cannot be used: {error}"))
            .hint("`siem_client_key` must be the key of `siem_client_certificate`")
    })
}

fn authorities(files: &TlsFiles) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &files.authority else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        let nobody = || {
            Problem::new("this system trusts no certificate authority")
                .hint("install ca-certificates, or name the SIEM's authority in `siem_ca_file`")
        };
        return if roots.is_empty() { Err(nobody()) } else { Ok(roots) };
    };
    for certificate in certificates(file, "siem_ca_file")? {
        roots.add(certificate).map_err(|error| unreadable(file, "siem_ca_file", &error))?;
    }
    Ok(roots)
}

/// At least one certificate.
fn certificates(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unreadable(file, key, &error))?;
    if found.is_empty() {
        return Err(unreadable(file, key, &"it holds no certificate"));
    }
    Ok(found)
}

fn unreadable(file: &Path, key: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(format!("failed to read `logging.{key}`: `{}`: {error}", file.display()))
        .hint("it must be a PEM file that the service may read")
}

/// Names what the person can do where it is about certificates.
fn explained(error: &io::Error) -> Problem {
    let problem = Problem::new(format!("failed to agree on TLS with the SIEM: {error}"));
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            problem.hint("name the file of the authority that signed its certificate in `siem_ca_file`")
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => problem.hint("`siem_destination` must have a name that is in its certificate"),
        Some(rustls::Error::AlertReceived(_)) => {
            problem.hint("it may want a client certificate: `siem_client_certificate` and `siem_client_key`")
        }
        Some(rustls::Error::InvalidMessage(_)) | None => {
            problem.hint("something else than TLS may listen there: check the port")
        }
        Some(_) => problem,
    }
}
