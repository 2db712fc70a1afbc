//! How soon a fault is named that only shows once health checks are answered, or whose proof takes a time of its own: within one probe
//! after it happens, what the proof takes, and one second.

use std::time::Duration;

use lab::{
    app::{Answer, Listen},
    client::ask,
    health_check::{Habits, connect_from},
    nginx::{Nginx, Site},
    nlb::{Check, Speech},
    plan::Family,
    topology::Topology,
};

use crate::{
    harm::{HARM, Harm, Service, harms, nothing_to_hold, probe_with, replace},
    row::PATIENCE,
};

/// A SYN or SYN-ACK that is not answered is sent again after so long (TCP_TIMEOUT_INIT, include/net/tcp.h, v6.1): before, nobody
/// can tell one that is lost from one that is on its way.
const SENT_AGAIN: Duration = Duration::from_secs(1);

/// The shortest timeout of a health check (AWS, NLB health check settings): before, none has waited in vain.
const TIMEOUT: Duration = Duration::from_secs(2);

/// So that it is over before the lab's application has had enough of waiting itself.
const IMPATIENCE: Duration = Duration::from_millis(1500);

fn tls(lab: &Topology, versions: &str) -> Service {
    let site = Site::tls(lab.plan.task.address(), lab.plan.port, versions);
    Service::nginx(Nginx::start(&lab.task, &site))
}

/// What is answered to the first node does not get there.
fn lose_replies(lab: &Topology) {
    let family = lab.plan.family.nft();
    lab.block(&format!("{family} daddr {} tcp flags & (syn | ack) == syn | ack", lab.plan.node(0)));
}

harms! {
    a_way_back_that_is_blocked => Harm {
        code: "reply_lost",
        proof_takes: SENT_AGAIN,
        does: |lab, _| {
            lose_replies(lab);
            nothing_to_hold()
        },
        ..HARM
    };

    /// One SYN may be overtaken by its own connection; the second says that it is in vain.
    a_client_that_uses_one_port_twice => Harm {
        code: "duplicate_tuple",
        flags: |plan| format!("--client {}", plan.client.subnet),
        proof_takes: SENT_AGAIN,
        does: |lab, _| {
            let from = (lab.plan.client.addresses[3], 45_678).into();
            let first = lab.client.run(|| connect_from(from, lab.plan.target(), PATIENCE));
            Box::new(first.expect("the first connection"))
        },
        sends: |lab, _| {
            lab.connect_by_another_way((lab.plan.client.addresses[3], 45_678).into(), Duration::from_millis(1500));
        },
        ..HARM
    };

    a_client_that_is_sent_back_to_itself => Harm {
        code: "hairpin",
        family: Family::V4,
        does: |lab, _| {
            lab.forward_at_node(0);
            nothing_to_hold()
        },
        sends: |lab, _| {
            let (own, listener) = (lab.plan.task.address(), (lab.plan.node(0), lab.plan.port).into());
            lab.task.run(|| ask(own, listener)).expect_err("its own answer does not reach it");
        },
        ..HARM
    };

    /// The kernel takes the health check on behalf of the application, so it passes.
    an_application_that_does_not_accept => Harm {
        code: "app_not_accepting",
        flags: |_| format!("--health-timeout {}s", TIMEOUT.as_secs()),
        check: Check { speech: Speech::Tcp, ..HARM.check },
        proof_takes: TIMEOUT,
        does: |_, service| {
            service.as_mut().expect("it runs").freeze();
            nothing_to_hold()
        },
        sends: |lab, check| assert!(probe_with(lab, check, &Habits::default()), "the kernel takes it"),
        ..HARM
    };

    an_application_that_does_not_answer => Harm {
        code: "probe_timeout",
        family: Family::V4,
        check: Check { timeout: IMPATIENCE, ..HARM.check },
        proof_takes: IMPATIENCE,
        does: |lab, service| {
            let usual = Listen::on_all(lab.plan.task.address(), lab.plan.port);
            replace(lab, service, Listen { answer: Answer::HealthNever, ..usual })
        },
        ..HARM
    };

    an_application_that_speaks_another_tls => Harm {
        code: "tls_mismatch",
        flags: |_| "--health-protocol https".to_owned(),
        service: |lab| tls(lab, "TLSv1.2 TLSv1.3"),
        check: Check { speech: Speech::Https, ..HARM.check },
        does: |lab, service| {
            drop(service.take());
            Box::new(tls(lab, "TLSv1.3"))
        },
        ..HARM
    };

    /// The target group is told to send it, the application is not told to take it.
    a_header_that_the_application_does_not_know => Harm {
        code: "proxy_protocol_mismatch",
        service: |lab| {
            Service::nginx(Nginx::start(&lab.task, &Site::on(lab.plan.task.address(), lab.plan.port)))
        },
        sends: |lab, check| {
            let habits = Habits { proxy_protocol: true, ..Habits::default() };
            assert!(!probe_with(lab, check, &habits), "the harm does none");
        },
        ..HARM
    };
}
