//! The sockets of a gateway: all are bound before anything starts, so that a port in use is an error at once and not a
//! failed task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::net::TcpListener;

use super::{PageListener, StartError};
use crate::admin::Served;
use crate::ingress::{self, BoundListener, Certificates, ListenerParams};

pub(super) fn bind_listeners(listeners: Vec<ListenerParams>) -> Result<Vec<BoundListener>, StartError> {
    let mut bound = Vec::with_capacity(listeners.len());
    for params in listeners {
        let (listener, address) = (Arc::clone(&params.name), params.address);
        let certificates = params.tls.as_ref().map(Certificates::load).transpose();
        let certificates =
            certificates.map_err(|source| StartError::Tls { listener: Arc::clone(&listener), source })?;
        let socket = ingress::bind(params, certificates);
        bound.push(socket.map_err(|source| StartError::Bind { listener, address, source })?);
    }
    Ok(bound)
}

pub(super) async fn bind_pages(
    pages: &BTreeMap<Arc<str>, PageListener>,
) -> Result<Vec<(Arc<str>, TcpListener, BTreeSet<Served>)>, StartError> {
    let mut sockets = Vec::with_capacity(pages.len());
    for (name, page) in pages {
        let socket = TcpListener::bind(page.address).await;
        let failed = |source| StartError::Bind { listener: Arc::clone(name), address: page.address, source };
        sockets.push((Arc::clone(name), socket.map_err(failed)?, page.pages.clone()));
    }
    Ok(sockets)
}
