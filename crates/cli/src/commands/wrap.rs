//! `wrap`: serves a wrapped server until told to stop.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use paygate_core::config::format_diagnostics;
use paygate_core::credits::Credits;
use paygate_core::entropy::{SystemEntropy, random_name};
use paygate_core::key::address::CompiledAllowlist;
use paygate_core::ledger::KeyOptions;
use paygate_mcp_wire::http::HttpConfig;
use paygate_mcp_wire::stdio::StdioConfig;
use paygate_server::oauth::{OAuthOptions, OAuthProvider, state_path};
use paygate_server::{BackendConfig, EntryError, Server, ServerConfig, ServerParts};
use paygate_store::{Change, OpenOptions, Policies, StateFile, WhenUnreadable};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::banner::banner;
use crate::settings::{Settings, SettingsError, StateSettings, WrappedSettings};
use crate::{env, terminal};

/// How long calls under way may take once the server is told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Serves until told to stop.
pub(crate) fn run(args: &Args) -> ExitCode {
    let settings = match Settings::resolve(args) {
        Ok(settings) => settings,
        Err(error) => {
            terminal::err(&told(&error));
            return ExitCode::FAILURE;
        }
    };
    if !settings.warnings.is_empty() {
        terminal::err(&format_diagnostics(&settings.warnings));
    }
    start_log(settings.log_level);
    let served = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into);
    match served.and_then(|runtime| runtime.block_on(serve(settings))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::err(&format!("Failed to start server: Error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn told(error: &SettingsError) -> String {
    match error {
        SettingsError::Load(error) => format!("Error loading config file: {error}"),
        SettingsError::Invalid(findings) => format_diagnostics(findings),
        SettingsError::Flag(problem) => format!("Error: {problem}"),
    }
}

fn start_log(level: tracing::Level) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()) && !env::no_color())
        .init();
}

async fn serve(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    // Before anything else, so that no signal finds nobody listening.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let books = Arc::new(StateFile::open(open_options(settings.state.as_ref()))?);
    import_keys(&books, &settings.imports, settings.reimport)?;
    let made_admin_key = settings.admin_key.is_none().then(|| random_name(&SystemEntropy, "admin_", 16));
    let admin_key = settings.admin_key.clone().or(made_admin_key.clone()).expect("one of the two is there");
    let config = server_config(&settings, admin_key, books.clone())?;
    let parts = server_parts(&settings, &config);
    let server = Arc::new(Server::bind_with(config, parts).await?);
    let serving = tokio::spawn({
        let server = server.clone();
        async move { server.serve().await }
    });
    terminal::out(&banner(&settings, server.local_addr(), made_admin_key.as_deref()));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    terminal::out("\nGraceful shutdown initiated…\n");
    server.graceful_stop(DRAIN_LIMIT).await;
    serving.await?;
    // What fails is told by the books themselves.
    let _ = books.close();
    Ok(())
}

/// How the books are opened; without a state file they are in memory.
fn open_options(state: Option<&StateSettings>) -> OpenOptions {
    let Some(state) = state else { return OpenOptions { path: None, ..OpenOptions::new("") } };
    let unreadable = if state.recover { WhenUnreadable::Salvage } else { WhenUnreadable::Refuse };
    OpenOptions {
        durability: state.durability,
        retention: state.retention,
        policies: Policies { unreadable, ..Policies::COMMAND_LINE },
        ..OpenOptions::new(&state.path)
    }
}

/// What the server counts with and tells to, and its provider of tokens if it has one.
fn server_parts(settings: &Settings, config: &ServerConfig) -> ServerParts {
    let parts = ServerParts::new(config);
    let Some(oauth) = &settings.oauth else { return parts };
    parts.with_oauth(Arc::new(OAuthProvider::new(OAuthOptions {
        config: oauth.clone(),
        path: settings.state.as_ref().map(|state| state_path(&state.path)),
        clock: config.clock.clone(),
        entropy: config.books.ledger().entropy().clone(),
        tell: Arc::new(|notice| {
            if notice.good_news() {
                terminal::out(&format!("{notice}\n"));
            } else {
                terminal::err(&notice.to_string());
            }
        }),
    })))
}

fn server_config(
    settings: &Settings,
    admin_key: String,
    books: Arc<StateFile>,
) -> Result<ServerConfig, EntryError> {
    let mut config = ServerConfig::new(admin_key, backend_config(&settings.wrapped)?, books);
    config.host = settings.host;
    config.port = settings.port;
    config.gate = settings.gate.clone();
    config.allowed_origins = settings.allowed_origins.clone();
    config.limits = settings.limits;
    config.alert_rules = settings.alert_rules.clone();
    config.webhook = settings.webhook.clone();
    config.stripe = settings.stripe.clone();
    if let Some(name) = &settings.name {
        config.name = name.clone();
    }
    if let Some(methods) = &settings.free_methods {
        config.free_methods = methods.clone();
    }
    if let Some(proxies) = &settings.trusted_proxies {
        config.trusted_proxies = CompiledAllowlist::new(proxies.iter().map(String::as_str));
    }
    Ok(config)
}

fn backend_config(wrapped: &WrappedSettings) -> Result<BackendConfig, EntryError> {
    let child = |mut child: StdioConfig| {
        child.env_removed = vec![env::WITHHELD.to_owned()];
        child.into()
    };
    let remote = |mut remote: HttpConfig| {
        remote.extra_certificates = env::extra_certificates();
        remote.into()
    };
    Ok(match wrapped {
        WrappedSettings::Command(command, args) => {
            BackendConfig::One(child(StdioConfig::new(command, args.clone())))
        }
        WrappedSettings::Remote(url) => BackendConfig::One(remote(HttpConfig::new(url)?)),
        WrappedSettings::Many(servers) => BackendConfig::many(servers.clone(), child, remote)?,
    })
}

/// Makes the keys that are not known yet, so that a restart leaves balances as they are.
fn import_keys(
    books: &StateFile,
    imports: &[(String, Credits)],
    reimport: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let ledger = books.ledger();
    for (key, credits) in imports {
        if reimport || ledger.accounts.find(key).is_none() {
            let opened = ledger.open(key, "imported", *credits, KeyOptions::default());
            ledger.wait(opened.ticket)?;
            books.changed(Change::ByMutator);
        }
    }
    Ok(())
}
