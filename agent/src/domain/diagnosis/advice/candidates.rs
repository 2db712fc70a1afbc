//! What cannot be told apart from inside the host: candidates in the order in which they are worth a look, each with the command
//! that settles it.

use crate::domain::{
    class::SourceClass,
    diagnosis::advice::{
        Facts, Lines,
        aws::{ENFORCEMENT, NLB_GROUP},
    },
};

/// How many of the nodes are missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All: what they share is the likely cause.
    All,
    /// Some, and others come: what all nodes share is not the cause.
    Some,
    /// The same of nodes that never came, and may be of other zones than the task: they may have no reason to.
    SomeFromStart,
    /// Those whose clients still come from the same addresses: rules let them in, on this port at least.
    SameAddresses,
}

/// One of several causes that look the same from here.
struct Candidate {
    what: String,
    /// What each command is for, and the command.
    commands: Vec<(&'static str, String)>,
}

impl Facts<'_> {
    /// Health checks that do not come.
    pub fn missing_probes(&self, port: Option<u16>, reach: Reach) -> String {
        let registration = self.registration(port);
        let candidates = match reach {
            Reach::All => vec![
                self.task_group(port, SourceClass::NlbProbe),
                self.nlb_egress(port),
                self.acls(port, "the NLB's subnets"),
                registration,
            ],
            Reach::Some | Reach::SomeFromStart => {
                let mut candidates = vec![
                    self.acls(port, "the silent node's subnet"),
                    self.task_group(port, SourceClass::NlbProbe),
                    self.zones(),
                    registration,
                ];
                if reach == Reach::SomeFromStart {
                    candidates.insert(2, self.across_zones());
                }
                candidates
            }
            Reach::SameAddresses => {
                vec![registration, self.task_group(port, SourceClass::NlbProbe), self.nlb_egress(port)]
            }
        };
        self.list("Not told apart from inside this host; in this order:", candidates)
    }

    /// Nobody comes at all.
    pub fn missing_everybody(&self, port: Option<u16>) -> String {
        let candidates = vec![
            self.registration(port),
            self.task_group(port, SourceClass::NlbProbe),
            self.nlb_egress(port),
            self.acls(port, "the NLB's subnets"),
        ];
        self.list("Not told apart from inside this host; in this order:", candidates)
    }

    /// Health checks come and clients do not.
    pub fn missing_clients(&self, port: Option<u16>, class: SourceClass) -> String {
        let inbound = Candidate {
            what: "The NLB's security group must let the clients in on the listener's port; for PrivateLink (VPC link v1) its \
                   enforcement of inbound rules must be off"
                .to_owned(),
            commands: vec![
                (
                    "look",
                    self.describe_nlb(ENFORCEMENT),
                ),
                ("change", self.stop_enforcement()),
            ],
        };
        let link = Candidate {
            what: "The VPC link: v2 is INACTIVE after 60 days without traffic".to_owned(),
            commands: vec![(
                "look",
                self.aws(
                    "apigatewayv2 get-vpc-links",
                    "--query 'Items[].[Name,VpcLinkStatus,SubnetIds,SecurityGroupIds]'",
                ),
            )],
        };
        let candidates = vec![self.task_group(port, class), inbound, self.acls(port, class.whom()), link];
        self.list("Send one request through the API now. If none shows here, in this order:", candidates)
    }

    /// Another target group may be checked at another port.
    pub fn another_port(&self) -> String {
        Lines::new("Does the target group check another port? Then name it with --health-port, and it is watched, too.")
            .look(&self.health_check("Port,HealthCheckPort,HealthCheckProtocol"))
            .command(ARN, &self.target_groups())
            .done()
    }

    fn task_group(&self, port: Option<u16>, class: SourceClass) -> Candidate {
        let subnets = self.subnets(class);
        let (admits, port) = (tcp(port), number(port));
        // With enforcement off, PrivateLink brings what no group stands for (AWS, NLB target security groups).
        let otherwise = if class == SourceClass::ClientViaNlb {
            "or, for an NLB without a group and for PrivateLink without enforcement"
        } else {
            "or, for an NLB without a group"
        };
        Candidate {
            what: format!(
                "The task's security group must admit {admits} from the NLB's security group or the CIDRs of {}{}",
                class.whom(),
                subnets.in_brackets()
            ),
            commands: vec![
                ("look", self.task_group_rules()),
                ("change", self.authorize_group(&port, NLB_GROUP)),
                (otherwise, self.authorize_subnets(&port, &subnets)),
            ],
        }
    }

    fn nlb_egress(&self, port: Option<u16>) -> Candidate {
        Candidate {
            what: format!(
                "The NLB's security group must let {} out to the task: health checks obey its outbound rules",
                tcp(port)
            ),
            commands: vec![
                ("look", self.nlb_group_rules()),
                ("change", self.authorize_egress(&number(port))),
            ],
        }
    }

    fn acls(&self, port: Option<u16>, others: &str) -> Candidate {
        let subnets: Vec<_> = self.site().subnets.iter().map(ToString::to_string).collect();
        let own = if subnets.is_empty() { String::new() } else { format!(" ({})", subnets.join(", ")) };
        Candidate {
            what: format!(
                "The network ACLs of the task's subnet{own} and of {others} must admit {} in, and 1024-65535 back",
                tcp(port)
            ),
            commands: vec![("look", self.network_acls())],
        }
    }

    fn registration(&self, port: Option<u16>) -> Candidate {
        let port = port.map(|port| format!(" with port {port}")).unwrap_or_default();
        Candidate {
            what: format!(
                "The target must be registered{port}, and its zone enabled on the NLB (Target.NotInUse where it is not)"
            ),
            commands: vec![("look", self.target_health()), (ARN, self.target_groups())],
        }
    }

    fn zones(&self) -> Candidate {
        Candidate {
            what: "The silent node's zone may have been taken from the NLB, or shifted away from".to_owned(),
            commands: vec![(
                "look",
                self.describe_nlb("LoadBalancers[].AvailabilityZones[].[ZoneName,SubnetId]"),
            )],
        }
    }

    /// Whether a node checks targets of other zones with cross-zone load balancing off, AWS said until 2022, and no longer does.
    fn across_zones(&self) -> Candidate {
        Candidate {
            what: "Cross-zone load balancing is off, as it is where nobody turned it on, and the silent node is of another zone \
                   than the task: then it may have no reason to check this target, and nothing has to change"
                .to_owned(),
            commands: self.cross_zone().into(),
        }
    }

    /// Nodes of other zones than the task's never came, while its own does.
    pub fn other_zones(&self) -> String {
        let lines = Lines::new(
            "Nothing to do where cross-zone load balancing is off (load_balancing.cross_zone.enabled; the target group's setting \
             may leave it to the NLB's). Where it is on, rules and network ACLs must let in those zones' subnets, too.",
        );
        let looks = self.cross_zone().into_iter().chain([("look", self.network_acls())]);
        looks.fold(lines, |lines, (purpose, command)| lines.command(purpose, &command)).done()
    }

    /// Whether nodes send to targets of other zones: the target group's setting, where it has one, else the NLB's.
    fn cross_zone(&self) -> [(&'static str, String); 3] {
        [("look", self.attributes()), (ARN, self.target_groups()), ("look", self.nlb_attributes())]
    }

    fn list(&self, first: &str, candidates: Vec<Candidate>) -> String {
        let in_front = self.history.in_front();
        let in_front = in_front.map(|program| format!("First look at {program}: it can drop unseen. "));
        let mut lines = Lines::new(in_front.unwrap_or_default() + first);
        for (number, candidate) in (1..).zip(candidates) {
            lines = lines.say(&format!("{number}. {}.", candidate.what));
            for (purpose, command) in candidate.commands {
                lines = lines.command(&format!(" {purpose}"), &command);
            }
        }
        lines
            .say(
                "A REJECT in the flow log of the task's interface is its security group or an ACL; without a record there, it is \
                 in front of it.",
            )
            .done()
    }
}

/// What a command is for that finds the target group.
pub(super) const ARN: &str = "its ARN";

fn tcp(port: Option<u16>) -> String {
    port.map_or_else(|| "the health check's port".to_owned(), |port| format!("tcp/{port}"))
}

fn number(port: Option<u16>) -> String {
    port.map_or_else(|| "<port>".to_owned(), |port| port.to_string())
}
