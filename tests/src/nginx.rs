//! nginx as the application, with a configuration written for each scenario.
//!
//! One process, or a master with workers in a process namespace of their own: a worker would outlive a master that is killed.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Netns, nlb::connect, shell, wait};

/// Where `cargo xtask setup` unpacks it on a machine that has none.
const UNPACKED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/nginx/usr/sbin/nginx");

/// Directories of this process and of those before it.
const DIRECTORY: &str = "agent-lab-nginx-";

/// What is configured.
#[derive(Clone, Debug)]
pub struct Site {
    /// Address and port.
    pub on: SocketAddr,
    /// Further words of the `listen` directive, such as `ssl` or `proxy_protocol`.
    pub listen: &'static str,
    /// Directives of the server, such as `ssl_protocols TLSv1.3;`.
    pub server: String,
    /// What `/`, the path of the health check, does.
    pub health: String,
    /// So many workers, and a master; with none it is one process.
    pub workers: u32,
}

impl Site {
    /// Answers everything with 200, on this address and port.
    pub fn on(address: IpAddr, port: u16) -> Self {
        let on = SocketAddr::new(address, port);
        Self { on, listen: "", server: String::new(), health: "return 200 ok;".to_owned(), workers: 0 }
    }

    /// Only TLS, of these versions.
    pub fn tls(address: IpAddr, port: u16, versions: &str) -> Self {
        let server = format!(
            "ssl_certificate certificate.pem; ssl_certificate_key key.pem; ssl_protocols {versions};"
        );
        Self { listen: "ssl", server, ..Self::on(address, port) }
    }

    /// Its configuration, with everything that is written below the directory it is in.
    fn text(&self, directory: &Path) -> String {
        let directory = directory.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("    {kind}_temp_path {directory}/{kind};\n"))
            .collect();
        let processes = match self.workers {
            0 => "master_process off;".to_owned(),
            // The directory is root's.
            count => format!("worker_processes {count};\nuser root;"),
        };
        format!(
            "daemon off;
{processes}
pid {directory}/pid;
error_log {directory}/error.log info;
events {{}}
http {{
    access_log off;
{temporary}    server {{
        listen {on} {listen};
        {server}
        location = / {{ {health} }}
        location / {{ return 200 ok; }}
    }}
}}
",
            on = self.on,
            listen = self.listen,
            server = self.server,
            health = self.health,
        )
    }
}

/// A running nginx. Dropping it kills it and removes what it wrote.
pub struct Nginx {
    child: Child,
    directory: PathBuf,
    has_workers: bool,
}

impl Nginx {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it cannot be found or does not start.
    pub fn start(namespace: &Netns, site: &Site) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        sweep();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("{DIRECTORY}{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap_or_else(|error| panic!("making {}: {error}", directory.display()));
        if site.listen.contains("ssl") {
            certificate(namespace, &directory);
        }
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, site.text(&directory)).expect("writing the configuration of nginx");
        let has_workers = site.workers > 0;
        let mut command = if has_workers {
            let mut command = Command::new("unshare");
            command.args(["--pid", "--kill-child=KILL"]).arg(program());
            command
        } else {
            Command::new(program())
        };
        command.arg("-p").arg(&directory).arg("-c").arg(&configuration);
        command.args(["-e", "stderr"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nginx = Self { child: namespace.spawn(&mut command), directory, has_workers };
        let limit = Duration::from_millis(200) * wait::pace();
        wait::until("nginx to listen", Duration::from_secs(20), || {
            let ended = nginx.child.try_wait().expect("asking for the state of nginx");
            assert!(ended.is_none(), "nginx ended: {}\n{}", nginx.log(), site.text(&nginx.directory));
            namespace.run(|| connect(site.on.ip(), site.on, limit)).is_ok()
        });
        nginx
    }

    /// What it complained of.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("error.log")).unwrap_or_default()
    }

    /// Stops whoever accepts where it stands, its workers and not the master if it has any: it listens on and accepts nothing.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn freeze(&self) {
        if self.has_workers {
            let workers = children(self.master());
            assert!(!workers.is_empty(), "nginx has no workers");
            workers.into_iter().for_each(|worker| signal(worker, Signal::STOP));
        } else {
            signal(Pid::from_child(&self.child), Signal::STOP);
        }
    }

    /// Puts new workers in the place of the old ones, which finish what they began.
    ///
    /// # Panics
    ///
    /// When it has none, or none come.
    pub fn reload(&self) {
        let master = self.master();
        let old = children(master);
        signal(master, Signal::HUP);
        wait::until("new workers of nginx", Duration::from_secs(20), || {
            children(master).iter().any(|worker| !old.contains(worker))
        });
    }

    /// The process that has the workers: the only one that `unshare` started.
    fn master(&self) -> Pid {
        assert!(self.has_workers, "this nginx is one process");
        children(Pid::from_child(&self.child))[0]
    }
}

fn signal(process: Pid, signal: Signal) {
    kill_process(process, signal).unwrap_or_else(|error| panic!("sending {signal:?} to nginx: {error}"));
}

/// Processes that this one started and that are still there.
fn children(parent: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("listing processes");
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |process: &i32| {
        // One that has ended meanwhile is nobody's.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The parent comes second after the name, which may hold anything and ends with the last parenthesis.
        let after = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().nth(1));
        after.flatten().and_then(|field| field.parse().ok()) == Some(parent.as_raw_nonzero().get())
    };
    processes.filter(is_child).filter_map(Pid::from_raw).collect()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted. What `unshare` started dies with it, and workers with their
        // master, the first process of their namespace.
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("removing {}: {error}", self.directory.display());
        }
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|directory| directory.join("nginx"))
        .chain([UNPACKED.into()])
        .find(|candidate| candidate.is_file());
    found.expect("there is no nginx: `cargo xtask setup` brings one")
}

/// A certificate that nobody trusts, and its key, valid for a day.
fn certificate(namespace: &Netns, directory: &Path) {
    let file = |name: &str| directory.join(name).display().to_string();
    let (key, certificate) = (file("key.pem"), file("certificate.pem"));
    let words =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=lab -keyout";
    let mut arguments: Vec<&str> = words.split(' ').collect();
    arguments.extend([key.as_str(), "-out", certificate.as_str()]);
    shell::run(namespace, "openssl", &arguments, "");
}

/// Removes what tests that were killed left behind.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name.strip_prefix(DIRECTORY).and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if !Path::new("/proc").join(owner).exists() {
            let _somebody_else_was_quicker = fs::remove_dir_all(entry.path());
        }
    }
}
