//! How soon a fault of the host is named that keeps health checks from being answered: within one probe after it happens, and one
//! second.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use lab::{
    agent::{Agent, words},
    app::{Answer, App, Listen},
    conntrack,
    health_check::connect,
    nlb::{Check, Node, Speech},
    others::Others,
    plan::{Family, Plan},
    shell,
    topology::Topology,
    wait,
    witness::netstat,
};

use crate::{
    harm::{HARM, Harm, harms, nothing_to_hold, replace},
    rare::{refuse_by_policy, send_damaged},
    row::{PATIENCE, nodes},
    turns,
};

/// Another listener of the task, whose queue overflows all the time.
struct Overflowing {
    _deaf: App,
    is_over: Arc<AtomicBool>,
    attempts: Option<JoinHandle<()>>,
}

impl Overflowing {
    fn start(lab: &Topology) -> Self {
        // Over loopback, so that no route matters.
        let on = SocketAddr::from((Ipv4Addr::LOCALHOST, lab.plan.other_port));
        let deaf = Listen { on, backlog: 1, accepts: false, ..Listen::on_all(on.ip(), on.port()) };
        let deaf = App::start(&lab.task, deaf);
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let attempts = lab.task.run(|| {
            thread::spawn(move || {
                let mut held = Vec::new();
                while !until.load(Ordering::Relaxed) {
                    held.extend(connect(on.ip(), on, Duration::from_millis(100)));
                }
            })
        });
        let overflows = || netstat(&lab.task, "TcpExt", "ListenOverflows");
        wait::until("the other queue to overflow", PATIENCE, || overflows() > 0);
        Self { _deaf: deaf, is_over, attempts: Some(attempts) }
    }
}

impl Drop for Overflowing {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.attempts.take().into_iter().for_each(|attempts| attempts.join().expect("no panic"));
    }
}

harms! {
    a_rule_of_the_host => Harm {
        code: "host_firewall",
        does: |lab, _| {
            lab.firewall("input", &format!("tcp dport {} drop", lab.plan.port));
            nothing_to_hold()
        },
        ..HARM
    };

    a_rule_that_refuses => Harm {
        code: "firewall_reject",
        does: |lab, _| {
            lab.firewall("input", &format!("tcp dport {} reject with tcp reset", lab.plan.port));
            nothing_to_hold()
        },
        ..HARM
    };

    a_rule_about_answers => Harm {
        code: "reply_dropped",
        does: |lab, _| {
            lab.firewall("output", &format!("tcp sport {} tcp flags & (syn | ack) == syn | ack drop", lab.plan.port));
            nothing_to_hold()
        },
        ..HARM
    };

    a_policy_of_the_host => Harm {
        code: "host_drop",
        does: |lab, _| {
            refuse_by_policy(lab, &[lab.plan.node(0)]);
            nothing_to_hold()
        },
        ..HARM
    };

    a_filter_of_reverse_paths => Harm {
        code: "reverse_path_filter",
        family: Family::V4,
        does: |lab, _| {
            shell::ip(&lab.task, &format!("route add {} dev lo", lab.plan.nodes[0].subnet));
            let interface = lab.plan.task.interface.replace('/', ".");
            shell::sysctl(&lab.task, &format!("ipv4/conf/{interface}/rp_filter"), "1");
            nothing_to_hold()
        },
        ..HARM
    };

    a_tc_program => Harm {
        code: "bpf_drop",
        family: Family::V4,
        does: |lab, _| {
            let plan = &lab.plan;
            Box::new(Others::tc_dropping(&lab.task, &plan.task.interface, plan.node(0)).expect("a tc program"))
        },
        ..HARM
    };

    an_xdp_program => Harm {
        code: "bpf_drop",
        family: Family::V4,
        does: |lab, _| {
            let plan = &lab.plan;
            Box::new(Others::xdp(&lab.task, &plan.task.interface, plan.node(0)).expect("an XDP program"))
        },
        ..HARM
    };

    a_checksum => Harm {
        code: "bad_checksum",
        family: Family::V4,
        sends: |lab, _| send_damaged(lab, lab.plan.node(0)),
        ..HARM
    };

    a_table_of_connections => Harm {
        code: "conntrack_full",
        family: Family::V4,
        does: |lab, _| {
            conntrack::fill(&lab.task);
            lab.firewall("input", "ct state invalid accept");
            nothing_to_hold()
        },
        ..HARM
    };

    an_application_that_ends => Harm {
        code: "no_listener",
        does: |_, service| {
            drop(service.take());
            nothing_to_hold()
        },
        ..HARM
    };

    an_application_that_comes_back_on_loopback => Harm {
        code: "listener_elsewhere",
        family: Family::V4,
        does: |lab, service| {
            let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, lab.plan.port));
            replace(lab, service, Listen { on: loopback, ..Listen::on_all(loopback.ip(), loopback.port()) })
        },
        ..HARM
    };

    an_application_that_accepts_no_more => Harm {
        code: "accept_queue_full",
        family: Family::V4,
        does: |lab, service| {
            service.as_mut().expect("it runs").freeze();
            let (from, target): (IpAddr, _) = (lab.plan.client.address(), lab.plan.target());
            // One more than the limit is taken.
            let open = || lab.client.run(|| connect(from, target, PATIENCE)).expect("a place in the queue");
            Box::new([open(), open()])
        },
        ..HARM
    };

    an_application_that_answers_with_503 => Harm {
        code: "probe_http_status",
        family: Family::V4,
        does: |lab, service| {
            let usual = Listen::on_all(lab.plan.task.address(), lab.plan.port);
            replace(lab, service, Listen { answer: Answer::HealthStatus(503), ..usual })
        },
        ..HARM
    };

    an_application_that_cuts_off => Harm {
        code: "app_reset",
        does: |lab, service| {
            let usual = Listen::on_all(lab.plan.task.address(), lab.plan.port);
            replace(lab, service, Listen { answer: Answer::Close, ..usual })
        },
        ..HARM
    };

    a_route_that_is_gone_while_another_listener_overflows => Harm {
        code: "no_return_route",
        family: Family::V4,
        does: |lab, _| {
            let overflowing = Overflowing::start(lab);
            shell::ip(&lab.task, "route del default");
            Box::new(overflowing)
        },
        ..HARM
    };

    an_entry_that_refuses_the_way_back => Harm {
        code: "no_return_route",
        does: |lab, _| {
            let node = lab.plan.node(0).to_string();
            shell::run(&lab.task, "ip", &["-6", "route", "add", "unreachable", &node], "");
            nothing_to_hold()
        },
        ..HARM
    };

    a_route_that_is_gone => Harm {
        code: "no_return_route",
        family: Family::V4,
        does: |lab, _| {
            shell::ip(&lab.task, "route del default");
            nothing_to_hold()
        },
        ..HARM
    };
}

/// People see it, too, however long they said that a report may take.
#[test]
fn a_fault_is_shown_to_people_before_the_next_report_is_due() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V6));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let text = format!("trace --port {} --nlb {a} {b} --client-ip preserved --interval 1h", plan.port);
    let mut agent = Agent::start(&lab.task, &words(&text));
    agent.wait_text("the agent to watch", lab::agent::START, |text| text.contains("hooks").then_some(()));
    let check = Check::every(Duration::from_millis(500) * lab::wait::pace(), Speech::Http);
    let _probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    lab.firewall("input", &format!("tcp dport {} drop", plan.port));
    agent.wait_text("the fault", PATIENCE, |text| text.contains("host_firewall").then_some(()));
}
