//! The SDK's own HTTPS client, but for when it reads the system's certificates: with the first
//! request. The SDK does so for each of its clients while it is made, and that were most of the
//! time until the dashboard's first frame.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

#[derive(Debug)]
pub(super) struct Https(SharedHttpClient);

impl Https {
    /// Goes through the proxy that the environment names, as the SDK does.
    pub(super) fn new() -> Self {
        let connector = |settings: Option<&HttpConnectorSettings>,
                         components: Option<&RuntimeComponents>| {
            let mut connector = ConnectorBuilder::default()
                .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
                .proxy_config(ProxyConfig::from_env());
            connector.set_connector_settings(settings.cloned());
            if let Some(components) = components {
                connector.set_sleep_impl(components.sleep_impl());
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
