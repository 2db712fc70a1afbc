//! Resource limits of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises what watching needs, as far as it may. To be called while SYS_RESOURCE may still be had.
pub fn raise() {
    // A target takes some thirty descriptors, and service managers allow 1024 unless asked for more. Nothing here uses
    // `select`, the one reason for that low limit.
    let files = getrlimit(Resource::Nofile);
    set(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    // Kernels before 5.11 count maps against this limit; raising it takes SYS_RESOURCE.
    set(Resource::Memlock, Rlimit { current: None, maximum: None });
}

fn set(resource: Resource, limit: Rlimit) {
    if let Err(error) = setrlimit(resource, limit) {
        log::debug!("{resource:?} stays as it is: {error}");
    }
}
