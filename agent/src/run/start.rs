//! What to watch, where the settings leave it open.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    domain::{
        class::Role,
        sample::Listener,
        sources::{Origin, SourceError, SourceTable},
    },
    kernel::{
        interface::{Interface, InterfaceError},
        namespace::{Namespace, NamespaceError},
        observer::ObserveError,
        sockets,
    },
    run::{Failure, names::Names},
    settings::{MAX_PORTS, Settings},
};

/// Room for nodes that are learned or resolved while watching.
const SPARE_SLOTS: u32 = 64;

/// The interface; `of_task` are the task's addresses, where they are known.
///
/// # Errors
///
/// When there is none.
pub fn interface(
    namespace: &Namespace,
    settings: &Settings,
    of_task: &[IpAddr],
) -> Result<Interface, Failure> {
    Ok(namespace.run(|| Interface::find(settings.interface.as_deref(), of_task))??)
}

/// The ports, in order, and why these where nobody named them. `own`: where the agent itself listens in that namespace.
///
/// # Errors
///
/// When nothing is listened on either.
pub fn ports(
    namespace: &Namespace,
    settings: &Settings,
    own: Option<SocketAddr>,
) -> Result<(Vec<u16>, Option<String>), Failure> {
    if !settings.ports.is_empty() {
        return Ok((settings.all_ports(&settings.ports), None));
    }
    let listeners = namespace.run(sockets::listeners)?.map_err(|error| {
        Failure::Internal(format!("reading the socket table: {error}; name the port with --port"))
    })?;
    let is_own = |listener: &Listener| own.is_some_and(|own| own.port() == listener.port);
    // Nobody from outside reaches a listener on loopback.
    let open: BTreeSet<u16> = listeners
        .iter()
        .filter(|listener| !listener.address.is_loopback() && !is_own(listener))
        .map(|listener| listener.port)
        .collect();
    let open: Vec<u16> = open.into_iter().collect();
    if let (true, Some(health_port)) = (open.is_empty(), settings.priors.health_port) {
        return Ok((
            vec![health_port],
            Some(format!("port {health_port}: the health check's; nothing listens here")),
        ));
    }
    if open.is_empty() {
        return Err(Failure::Usage(
            "nothing listens on any port here, so there is nothing to watch: name the port with --port"
                .to_owned(),
        ));
    }
    let ports = settings.all_ports(&open[..open.len().min(MAX_PORTS - 1)]);
    let mut why = format!("ports {}: listened on now; name others with --port", list(&ports));
    if open.len() > MAX_PORTS - 1 {
        why.push_str(&format!(" ({} more are not watched)", open.len() - (MAX_PORTS - 1)));
    }
    Ok((ports, Some(why)))
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// The table of sources, with room for those that turn up later.
///
/// # Errors
///
/// When there are more than can be told apart.
pub fn sources(settings: &Settings, names: &Names, interface: &Interface) -> Result<SourceTable, Failure> {
    let named: Vec<_> = settings
        .networks()
        .map(|(network, role)| (network, role, Origin::Flag))
        .chain(resolved(names, interface).into_iter().map(|(node, origin)| (node.into(), Role::Node, origin)))
        // Last: whatever the operator calls one of them, it is.
        .chain(interface.addresses.iter().map(|own| ((*own).into(), Role::Own, Origin::Interface)))
        .collect();
    let wanted: u32 = named.iter().map(|(network, role, _)| SourceTable::slots_for(network, *role)).sum();
    let mut table = SourceTable::new(1 + wanted + SPARE_SLOTS);
    for (network, role, origin) in named {
        let is_found = matches!(origin, Origin::Dns(_) | Origin::OwnZone(_) | Origin::Interface);
        match table.add(network, role, origin, Duration::ZERO) {
            // Named by the operator, who knows better than DNS.
            Err(SourceError::TwoRoles { .. }) if is_found => {}
            other => drop(other.map_err(|error| Failure::Usage(error.to_string()))?),
        }
    }
    Ok(table)
}

/// Resolved addresses of the families that this interface has: from another family nobody can send to it.
pub fn resolved(names: &Names, interface: &Interface) -> Vec<(IpAddr, Origin)> {
    let speaks = |address: IpAddr| interface.addresses.iter().any(|own| own.is_ipv4() == address.is_ipv4());
    names.iter().filter(|(address, _)| speaks(*address)).collect()
}

impl From<NamespaceError> for Failure {
    fn from(error: NamespaceError) -> Self {
        let text = error.to_string();
        match error {
            NamespaceError::Open { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Self::CannotObserve(text)
            }
            NamespaceError::Open { .. } | NamespaceError::NotANamespace { .. } => Self::Usage(text),
            NamespaceError::Enter { .. } | NamespaceError::Gone { .. } => Self::CannotObserve(text),
        }
    }
}

impl From<InterfaceError> for Failure {
    fn from(error: InterfaceError) -> Self {
        let text = error.to_string();
        match error {
            InterfaceError::Unknown { .. }
            | InterfaceError::NoDefault { .. }
            | InterfaceError::UnknownLinkHeader { .. } => Self::Usage(text),
            InterfaceError::Netlink(_) => Self::Internal(text),
        }
    }
}

impl From<ObserveError> for Failure {
    fn from(error: ObserveError) -> Self {
        let text = error.to_string();
        match error {
            ObserveError::Namespace(error) => error.into(),
            ObserveError::Interface(error) => error.into(),
            // A kernel that takes no map, for want of rights, of memory or of the feature, shows nothing.
            ObserveError::Load(_) | ObserveError::InterfaceGone(_) => Self::CannotObserve(text),
            ObserveError::Map(_) | ObserveError::Link { .. } => Self::Internal(text),
        }
    }
}
