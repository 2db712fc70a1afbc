//! Who the task and the instance are: the page of task metadata, then those of instance metadata (document, interfaces, first
//! interface, addresses, VPC, prefixes), with a zero byte between them.
#![no_main]

use std::time::{Duration, SystemTime};

use agent::discover::{ecs, imds, names};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|byte| *byte == 0);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut task = ecs::read(parts.next().unwrap_or_default(), now).unwrap_or_default();
    let texts: Vec<String> = parts.filter_map(|part| String::from_utf8(part.to_vec()).ok()).collect();
    let instance = imds::read(&task, |path| {
        // What the service said becomes part of what it is asked next.
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains(".."), "{path:?}");
        let place = match path.rsplit('/').next() {
            Some("document") => 0,
            Some("") => 1,
            Some("mac") => 2,
            Some("local-ipv4s" | "ipv6s") => 3,
            Some("vpc-id") => 4,
            _ => 5,
        };
        texts.get(place).cloned()
    });
    task.complete_with(instance);
    let words = [
        &task.cluster,
        &task.service,
        &task.family,
        &task.revision,
        &task.task_id,
        &task.region,
        &task.account_id,
        &task.availability_zone,
        &task.vpc_id,
        &task.instance_id,
        &task.task_started_at,
    ];
    for word in words.into_iter().flatten() {
        assert!(!word.is_empty() && word.len() <= 255 && !word.chars().any(char::is_control), "{word:?}");
    }
    assert!(task.task_addresses.len() <= 16 && task.subnets.len() <= 16 && task.vpc_networks.len() <= 32);
    let zone = task.availability_zone.unwrap_or_default();
    if let Some(name) = names::zonal("nlb-0123.elb.eu-west-1.amazonaws.com", &zone) {
        assert!(names::is_name(&name), "{name:?}");
    }
});
