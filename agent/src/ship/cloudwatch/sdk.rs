//! The official AWS SDK: its credential chain, its signatures, its TLS.

use std::{error::Error, time::Duration};

use aws_config::{AppName, BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::{ProvideCredentials as _, error::CredentialsError};
use aws_sdk_cloudwatchlogs::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::InputLogEvent,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use super::{
    batch::{Event, Rejected},
    delivery::Api,
    target::Target,
    trouble::{Action, Class, Trouble, classify},
};

/// Amazon's own root certificates (<https://www.amazontrust.com/repository/>), so that a container without any reaches
/// AWS, too. Where the system has certificates, they count as well.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// Where certificates of the system are usually found.
const SYSTEM_ROOTS: [&str; 3] = ["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ssl/cert.pem"];

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// The real thing.
pub struct Sdk {
    target: Target,
    patience: Duration,
    /// Made with the first call: reading files and asking the metadata service may take a while.
    client: Option<Client>,
}

impl Sdk {
    /// Asks nobody yet.
    pub const fn new(target: Target, patience: Duration) -> Self {
        Self { target, patience, client: None }
    }

    async fn client(&mut self, action: Action) -> Result<Client, Trouble> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let config = load(self.patience).await;
        if config.region().is_none() {
            let detail = "no AWS Region is known".to_owned();
            return Err(Trouble { action, class: Class::NoCredentials, detail });
        }
        Ok(self.client.insert(Client::new(&config)).clone())
    }
}

/// Environment, profile, web identity, container and instance, in the SDK's order.
async fn load(patience: Duration) -> SdkConfig {
    let has_system_roots = std::env::var_os("SSL_CERT_FILE").is_some()
        || SYSTEM_ROOTS.iter().any(|path| std::path::Path::new(path).exists());
    let roots = TrustStore::empty().with_native_roots(has_system_roots).with_pem_certificate(AMAZON_ROOTS);
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let http = match TlsContext::builder().with_trust_store(roots).build() {
        Ok(context) => http.tls_context(context),
        Err(error) => {
            log::warn!("{error}; going on with the certificates of this host alone");
            http
        }
    };
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT.min(patience)).operation_timeout(patience).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.build_https())
        .timeout_config(timeouts)
        // One place decides about retries: `delivery` and `backoff`.
        .retry_config(RetryConfig::disabled());
    if let Ok(name) = AppName::new("health-check-tracer") {
        loader = loader.app_name(name);
    }
    loader.load().await
}

/// Looks for credentials and a Region as shipping does, and says what it found, or why that is not enough. Blocks for this
/// long at most; calls nobody but those who hand out credentials.
///
/// # Errors
///
/// When there are none, or no Region.
pub fn credentials(patience: Duration) -> Result<String, String> {
    let found = async {
        let config = load(patience).await;
        let provider = config.credentials_provider().ok_or("no source of AWS credentials is set")?;
        let credentials = provider.provide_credentials().await.map_err(|error| {
            let chain = std::iter::successors(Some(&error as &dyn Error), |&error| error.source());
            chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        })?;
        let region =
            config.region().ok_or("there are credentials, but no AWS Region is known: set AWS_REGION")?;
        let lasts = if credentials.expiry().is_some() { ", which are renewed" } else { "" };
        Ok(format!(
            "there are credentials{lasts}, and the Region is {region}; whether they may write shows when they do"
        ))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let found = runtime.block_on(async { tokio::time::timeout(patience, found).await });
    runtime.shutdown_background();
    found.unwrap_or_else(|_| Err(format!("nobody handed out credentials within {} s", patience.as_secs())))
}

impl Api for Sdk {
    async fn put_log_events(&mut self, events: &[Event]) -> Result<Rejected, Trouble> {
        let action = Action::PutLogEvents;
        let call = self.client(action).await?.put_log_events();
        let inputs = events.iter().map(|event| {
            InputLogEvent::builder().timestamp(event.time_ms).message(event.message.as_str()).build()
        });
        let inputs = inputs.collect::<Result<Vec<_>, _>>().map_err(|error| Trouble {
            action,
            class: Class::Invalid,
            detail: error.to_string(),
        })?;
        let call = call
            .log_group_name(&self.target.group)
            .log_stream_name(&self.target.stream)
            .set_log_events(Some(inputs));
        let answer = call.send().await.map_err(|error| trouble(action, &error))?;
        let index = |index: Option<i32>| index.map(|index| usize::try_from(index).unwrap_or(0));
        Ok(answer.rejected_log_events_info().map_or(Rejected::default(), |info| Rejected {
            too_new_from: index(info.too_new_log_event_start_index()),
            too_old_before: index(info.too_old_log_event_end_index()),
            expired_before: index(info.expired_log_event_end_index()),
        }))
    }

    async fn create_log_stream(&mut self) -> Result<(), Trouble> {
        let action = Action::CreateLogStream;
        let call = self.client(action).await?.create_log_stream();
        let call = call.log_group_name(&self.target.group).log_stream_name(&self.target.stream);
        call.send().await.map(drop).map_err(|error| trouble(action, &error))
    }

    async fn create_log_group(&mut self) -> Result<(), Trouble> {
        let action = Action::CreateLogGroup;
        let call = self.client(action).await?.create_log_group().log_group_name(&self.target.group);
        call.send().await.map(drop).map_err(|error| trouble(action, &error))
    }

    async fn put_retention_policy(&mut self, days: i32) -> Result<(), Trouble> {
        let action = Action::PutRetentionPolicy;
        let call = self.client(action).await?.put_retention_policy();
        let call = call.log_group_name(&self.target.group).retention_in_days(days);
        call.send().await.map(drop).map_err(|error| trouble(action, &error))
    }

    fn forget_credentials(&mut self) {
        self.client = None;
    }
}

fn trouble<E>(action: Action, error: &SdkError<E, HttpResponse>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let chain: Vec<&dyn Error> =
        std::iter::successors(Some(error as &dyn Error), |&error| error.source()).collect();
    let class = if chain.iter().any(|error| error.is::<CredentialsError>()) {
        Class::NoCredentials
    } else {
        classify(error.code(), error.raw_response().map(|answer| answer.status().as_u16()))
    };
    let detail = match (error.code(), error.raw_response()) {
        (Some(code), _) => format!("{code}: {}", error.message().unwrap_or("no message")),
        (None, Some(answer)) => format!("HTTP {}", answer.status()),
        (None, None) => chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(": "),
    };
    // The service's own words may have several lines.
    let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
    Trouble { action, class, detail }
}
