//! Commands of the AWS CLI. Those that look need no more than `deploy/iam/discovery.json` allows.

use ipnet::IpNet;

use crate::domain::{
    balancer_name::{Balancer, balancer},
    diagnosis::advice::{Facts, Subnets},
};

/// Stands for what only AWS knows.
pub(super) const TARGET_GROUP: &str = "<ARN of the target group>";
pub(super) const TASK_GROUP: &str = "<security group of the task>";
pub(super) const NLB_GROUP: &str = "<security group of the NLB>";

/// What says whether an NLB's inbound rules hold for PrivateLink.
pub(super) const ENFORCEMENT: &str =
    "LoadBalancers[].[SecurityGroups,EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic]";

impl Facts<'_> {
    /// A command in the task's region.
    pub(super) fn aws(&self, command: &str, arguments: &str) -> String {
        let of_nlb = || self.nlb().map(|(_, region)| region);
        match self.site().region.clone().or_else(of_nlb) {
            Some(region) => format!("aws {command} --region {region} {arguments}"),
            None => format!("aws {command} {arguments}"),
        }
    }

    /// Name and region of the NLB, from a DNS name of it.
    fn nlb(&self) -> Option<(String, String)> {
        self.sources.dns_names().find_map(|name| match balancer(name)? {
            Balancer::Nlb { name, region } => Some((name, region)),
            Balancer::NoNlb => None,
        })
    }

    pub(super) fn nlb_name(&self) -> String {
        self.nlb().map_or_else(|| "<name of the NLB>".to_owned(), |(name, _)| name)
    }

    /// What is known of the NLB itself.
    pub(super) fn describe_nlb(&self, query: &str) -> String {
        self.aws("elbv2 describe-load-balancers", &format!("--names {} --query '{query}'", self.nlb_name()))
    }

    fn nlb_words(&self, query: &str) -> String {
        format!("$({} --output text)", self.describe_nlb(query))
    }

    /// What is known of the task's network interface. The same address may be in another VPC, too.
    pub(super) fn describe_interface(&self, query: &str) -> String {
        let filter = match self.own_address() {
            Some(address) if address.is_ipv6() => {
                format!("Name=ipv6-addresses.ipv6-address,Values={address}")
            }
            Some(address) => format!("Name=addresses.private-ip-address,Values={address}"),
            None => "Name=addresses.private-ip-address,Values=<address of the task>".to_owned(),
        };
        let vpc = self.site().vpc_id.as_ref();
        let vpc = vpc.map(|vpc| format!(" Name=vpc-id,Values={vpc}")).unwrap_or_default();
        self.aws("ec2 describe-network-interfaces", &format!("--filters {filter}{vpc} --query '{query}'"))
    }

    fn interface_words(&self, query: &str) -> String {
        format!("$({} --output text)", self.describe_interface(query))
    }

    /// The inbound rules of the task's security groups.
    pub(super) fn task_group_rules(&self) -> String {
        let groups = self.interface_words("NetworkInterfaces[].Groups[].GroupId");
        self.aws(
            "ec2 describe-security-groups",
            &format!("--group-ids {groups} --query 'SecurityGroups[].[GroupId,IpPermissions]'"),
        )
    }

    /// The outbound rules of the NLB's security groups.
    pub(super) fn nlb_group_rules(&self) -> String {
        let groups = self.nlb_words("LoadBalancers[].SecurityGroups[]");
        self.aws(
            "ec2 describe-security-groups",
            &format!("--group-ids {groups} --query 'SecurityGroups[].[GroupId,IpPermissionsEgress]'"),
        )
    }

    /// The network ACL of the task's subnet; of all subnets where the VPC is known.
    pub(super) fn network_acls(&self) -> String {
        let filter = match &self.site().vpc_id {
            Some(vpc) => format!("Name=vpc-id,Values={vpc}"),
            None => {
                let subnet = self.interface_words("NetworkInterfaces[].SubnetId");
                format!("Name=association.subnet-id,Values={subnet}")
            }
        };
        self.aws(
            "ec2 describe-network-acls",
            &format!(
                "--filters {filter} --query 'NetworkAcls[].[NetworkAclId,Associations[].SubnetId,Entries]'"
            ),
        )
    }

    /// Where this target is registered, what is checked and what the NLB says of it.
    pub(super) fn target_health(&self) -> String {
        let target = match (self.own_address(), &self.site().instance_id) {
            (None, _) => "[]".to_owned(),
            (Some(address), None) => format!("[?Target.Id=='{address}']"),
            // Targets may be registered by instance, too.
            (Some(address), Some(instance)) => {
                format!("[?Target.Id=='{address}' || Target.Id=='{instance}']")
            }
        };
        self.aws(
            "elbv2 describe-target-health",
            &format!(
                "--target-group-arn {TARGET_GROUP} --query \
                 \"TargetHealthDescriptions{target}.[Target.Port,HealthCheckPort,TargetHealth]\""
            ),
        )
    }

    /// The ARN of the target group: from the service, or from the NLB.
    pub(super) fn target_groups(&self) -> String {
        match (&self.site().cluster, &self.site().service) {
            (Some(cluster), Some(service)) => self.aws(
                "ecs describe-services",
                &format!(
                    "--cluster {cluster} --services {service} --query \
                     'services[].loadBalancers[].[targetGroupArn,containerPort]'"
                ),
            ),
            _ => {
                let nlb = self.nlb_words("LoadBalancers[].LoadBalancerArn");
                self.aws(
                    "elbv2 describe-target-groups",
                    &format!(
                        "--load-balancer-arn {nlb} --query \
                         'TargetGroups[].[TargetGroupArn,Port,HealthCheckPort,HealthCheckProtocol]'"
                    ),
                )
            }
        }
    }

    /// The health check of the target group.
    pub(super) fn health_check(&self, fields: &str) -> String {
        self.aws(
            "elbv2 describe-target-groups",
            &format!("--target-group-arns {TARGET_GROUP} --query 'TargetGroups[].[{fields}]'"),
        )
    }

    /// Changes the health check.
    pub(super) fn modify_health_check(&self, arguments: &str) -> String {
        self.aws("elbv2 modify-target-group", &format!("--target-group-arn {TARGET_GROUP} {arguments}"))
    }

    /// The attributes of the target group.
    pub(super) fn attributes(&self) -> String {
        self.aws(
            "elbv2 describe-target-group-attributes",
            &format!("--target-group-arn {TARGET_GROUP} --query 'Attributes[].[Key,Value]'"),
        )
    }

    /// The attributes of the NLB.
    pub(super) fn nlb_attributes(&self) -> String {
        let arn = self.nlb_words("LoadBalancers[].LoadBalancerArn");
        self.aws(
            "elbv2 describe-load-balancer-attributes",
            &format!("--load-balancer-arn {arn} --query 'Attributes[].[Key,Value]'"),
        )
    }

    /// Changes an attribute of the target group.
    pub(super) fn modify_attribute(&self, key: &str, value: &str) -> String {
        self.aws(
            "elbv2 modify-target-group-attributes",
            &format!("--target-group-arn {TARGET_GROUP} --attributes Key={key},Value={value}"),
        )
    }

    /// Lets a port of the task be reached from a security group.
    pub(super) fn authorize_group(&self, port: &str, group: &str) -> String {
        let arguments =
            format!("--group-id {TASK_GROUP} --protocol tcp --port {port} --source-group {group}");
        self.aws("ec2 authorize-security-group-ingress", &arguments)
    }

    /// Lets a port of the task be reached from subnets.
    pub(super) fn authorize_subnets(&self, port: &str, subnets: &Subnets) -> String {
        let families = [(false, "IpRanges", "CidrIp"), (true, "Ipv6Ranges", "CidrIpv6")];
        let arguments = match &subnets.of_family(false)[..] {
            [one] if !subnets.has_family(true) => format!("--protocol tcp --port {port} --cidr {one}"),
            _ => {
                let ranges = |(v6, name, key): (bool, &str, &str)| {
                    let subnets = subnets.of_family(v6);
                    let each: Vec<_> = subnets.iter().map(|subnet| format!("{{{key}={subnet}}}")).collect();
                    format!(",{name}=[{}]", each.join(","))
                };
                let seen = families.into_iter().filter(|(v6, ..)| subnets.has_family(*v6));
                let ranges: String = seen.map(ranges).collect();
                format!("--ip-permissions 'IpProtocol=tcp,FromPort={port},ToPort={port}{ranges}'")
            }
        };
        self.aws("ec2 authorize-security-group-ingress", &format!("--group-id {TASK_GROUP} {arguments}"))
    }

    /// Lets the NLB reach a port of the task.
    pub(super) fn authorize_egress(&self, port: &str) -> String {
        let own = self.own_address();
        let subnet = self.site().subnets.iter().find(|subnet| own.is_some_and(|own| subnet.contains(&own)));
        let ranges = match subnet {
            Some(IpNet::V4(subnet)) => format!("--protocol tcp --port {port} --cidr {subnet}"),
            Some(IpNet::V6(subnet)) => format!(
                "--ip-permissions 'IpProtocol=tcp,FromPort={port},ToPort={port},Ipv6Ranges=[{{CidrIpv6={subnet}}}]'"
            ),
            None => format!("--protocol tcp --port {port} --cidr <subnet CIDR of the task>"),
        };
        self.aws("ec2 authorize-security-group-egress", &format!("--group-id {NLB_GROUP} {ranges}"))
    }

    /// Exempts PrivateLink from the inbound rules of the NLB's security group. All of its groups have to be named.
    pub(super) fn stop_enforcement(&self) -> String {
        let arn = self.nlb_words("LoadBalancers[].LoadBalancerArn");
        self.aws(
            "elbv2 set-security-groups",
            &format!(
                "--load-balancer-arn {arn} --security-groups <security groups of the NLB> \
                 --enforce-security-group-inbound-rules-on-private-link-traffic off"
            ),
        )
    }

    /// Lets replies to subnets out of the task's subnet.
    pub(super) fn admit_replies(&self, subnets: &Subnets) -> String {
        let v6 = !subnets.has_family(false);
        let block = subnets.of_family(v6).into_iter().next().unwrap_or_default();
        let option = if v6 { "--ipv6-cidr-block" } else { "--cidr-block" };
        self.aws(
            "ec2 create-network-acl-entry",
            &format!(
                "--network-acl-id <network ACL> --egress --rule-number <number> --protocol tcp --port-range \
                 From=1024,To=65535 {option} {block} --rule-action allow"
            ),
        )
    }
}
