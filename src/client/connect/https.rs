//! The SDK's own HTTPS client, but for whom it trusts, which may be written down, and for when it
//! reads the system's certificates: with the first request. The SDK does so for each of its clients while it is made, and that were most of the
//! time until the dashboard's first frame.

use std::path::Path;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Who may vouch for a server.
#[derive(Debug, Clone)]
pub(super) enum Trusted {
    /// Those that the system trusts.
    System,
    /// Those alone whose certificates are here, in PEM.
    Bundle(Vec<u8>),
}

impl Trusted {
    /// # Errors
    /// Says what is wrong with the file: the SDK would find out in the middle of a request, and
    /// panic.
    pub(super) async fn read(path: &Path) -> Result<Self, String> {
        let text = tokio::fs::read(path).await;
        let text = text.map_err(|error| format!("cannot be read: {error}"))?;
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| format!("is no PEM: {error}"))?;
            let added = store.add(certificate);
            added.map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
        }
        match store.is_empty() {
            true => Err("holds no certificate".to_owned()),
            false => Ok(Self::Bundle(text)),
        }
    }

    fn context(&self) -> Option<TlsContext> {
        let Self::Bundle(text) = self else {
            return None;
        };
        let store = TrustStore::empty().with_pem_certificate(text.as_slice());
        TlsContext::builder().with_trust_store(store).build().ok()
    }
}

#[derive(Debug)]
pub(super) struct Https(SharedHttpClient);

impl Https {
    /// Goes through the proxy that the environment names, as the SDK does.
    pub(super) fn new(trusted: Trusted) -> Self {
        let connector = move |settings: Option<&HttpConnectorSettings>,
                              components: Option<&RuntimeComponents>| {
            let mut connector = ConnectorBuilder::default()
                .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
                .proxy_config(ProxyConfig::from_env());
            connector.set_connector_settings(settings.cloned());
            if let Some(components) = components {
                connector.set_sleep_impl(components.sleep_impl());
            }
            if let Some(context) = trusted.context() {
                connector.set_tls_context(context);
            }
            connector.build()
        };
        Self(Builder::new().build_with_connector_fn(connector))
    }
}

/// The checks of a client's settings are left at what the trait does, which is nothing: the ones of
/// the client within would make a connector, only to have read the certificates.
impl HttpClient for Https {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}
