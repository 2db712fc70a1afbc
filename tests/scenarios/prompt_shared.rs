//! How soon a fault is named behind addresses that clients share with the nodes, while clients go on to come: within one probe after
//! it happens, and one second. What meets clients, too, is named no later.

use std::time::Duration;

use lab::{
    app::{Answer, App, Listen},
    nlb::Check,
    plan::Family,
    shell,
};

use crate::harm::{HARM, Harm, Service, harms, nothing_to_hold};

/// So that it is over before the lab's application has had enough of waiting itself.
const IMPATIENCE: Duration = Duration::from_millis(1500);

/// Clients go on to come, and the queue has room for them.
const SHARED: Harm = Harm {
    is_shared: true,
    service: |lab| {
        Service::App(App::start(&lab.task, Listen::on_all(lab.plan.task.address(), lab.plan.port)))
    },
    ..HARM
};

harms! {
    a_rule_of_the_host => Harm {
        code: "host_firewall",
        does: |lab, _| {
            lab.firewall("input", &format!("tcp dport {} drop", lab.plan.port));
            nothing_to_hold()
        },
        ..SHARED
    };

    a_rule_about_answers => Harm {
        code: "reply_dropped",
        family: Family::V4,
        does: |lab, _| {
            lab.firewall("output", &format!("tcp sport {} tcp flags & (syn | ack) == syn | ack drop", lab.plan.port));
            nothing_to_hold()
        },
        ..SHARED
    };

    a_route_that_is_gone => Harm {
        code: "no_return_route",
        family: Family::V4,
        does: |lab, _| {
            shell::ip(&lab.task, "route del default");
            nothing_to_hold()
        },
        ..SHARED
    };

    a_rule_that_refuses => Harm {
        code: "firewall_reject",
        family: Family::V4,
        does: |lab, _| {
            lab.firewall("input", &format!("tcp dport {} reject with tcp reset", lab.plan.port));
            nothing_to_hold()
        },
        ..SHARED
    };

    /// Clients are served, so only the health check itself shows it.
    an_application_that_answers_with_503 => Harm {
        code: "probe_http_status",
        does: |_, service| {
            service.as_mut().expect("it runs").answer(Answer::HealthStatus(503));
            nothing_to_hold()
        },
        ..SHARED
    };

    /// The same.
    an_application_that_does_not_answer => Harm {
        code: "probe_timeout",
        family: Family::V4,
        check: Check { timeout: IMPATIENCE, ..SHARED.check },
        proof_takes: IMPATIENCE,
        does: |_, service| {
            service.as_mut().expect("it runs").answer(Answer::HealthNever);
            nothing_to_hold()
        },
        ..SHARED
    };
}
