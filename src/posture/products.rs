//! Security products, and the processes by which each is known to run.

use platform::posture::software::Process;

/// A product; each looks for malware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    /// Its name for people.
    pub(super) name: &'static str,
    /// Words by which `required_security_software` may mean it, in lower case.
    words: &'static [&'static str],
    /// Its processes; one is enough.
    processes: &'static [&'static str],
    /// Its services, without `.service`; one is enough.
    services: &'static [&'static str],
}

/// Names of processes and services are those that the packages for Linux install.
pub(super) const PRODUCTS: [Product; 12] = [
    product("ClamAV", &["clamav", "clamd"], &["clamd"], &["clamav-daemon", "clamd@scan"]),
    product("Microsoft Defender", &["defender", "mdatp"], &["wdavdaemon"], &["mdatp"]),
    product(
        "CrowdStrike Falcon",
        &["crowdstrike", "falcon"],
        &["falcon-sensor", "falcon-sensor-b"],
        &["falcon-sensor"],
    ),
    product("SentinelOne", &["sentinelone", "sentinel"], &["s1-agent"], &["sentinelone"]),
    product("VMware Carbon Black", &["carbonblack", "carbon black"], &["cbagentd"], &["cbagentd"]),
    product("Sophos", &["sophos"], &["sophos_threat_d"], &["sophos-spl"]),
    product("ESET", &["eset"], &["odfeeder"], &["eea", "efs"]),
    product("Bitdefender", &["bitdefender"], &["bdsecd"], &["bdsec"]),
    product("Trend Micro Deep Security", &["trend micro", "trendmicro"], &["ds_am"], &["ds_agent"]),
    product("Trellix", &["trellix", "mcafee"], &["mfetpd"], &["mfetpd"]),
    product("Cortex XDR", &["cortex", "traps"], &["pmd"], &["traps_pmd"]),
    product("Elastic Defend", &["elastic"], &["elastic-endpoin"], &["ElasticEndpoint"]),
];

const fn product(
    name: &'static str,
    words: &'static [&'static str],
    processes: &'static [&'static str],
    services: &'static [&'static str],
) -> Product {
    Product { name, words, processes, services }
}

impl Product {
    /// Whether one of its processes is among those that run.
    pub(super) fn runs(&self, processes: &[Process]) -> bool {
        processes.iter().any(|process| {
            self.processes.iter().any(|name| is_called(process, name))
                || self.services.iter().any(|name| is_of_service(process, name))
        })
    }
}

/// The product of a vendor or of a name as people write it.
pub(super) fn named(text: &str) -> Option<&'static Product> {
    let text = text.trim().to_lowercase();
    PRODUCTS
        .iter()
        .find(|product| product.name.to_lowercase() == text || product.words.contains(&text.as_str()))
}

/// Whether software runs that is named as a product, a process or a service.
pub(super) fn runs(text: &str, processes: &[Process]) -> bool {
    let service = text.strip_suffix(".service").unwrap_or(text);
    named(text).is_some_and(|product| product.runs(processes))
        || processes.iter().any(|process| is_called(process, text) || is_of_service(process, service))
}

/// The kernel keeps 15 octets of a name.
fn is_called(process: &Process, name: &str) -> bool {
    const KEPT: usize = 15;
    let short = name.get(..KEPT).unwrap_or(name);
    process.name == short || process.program.as_deref() == Some(name)
}

fn is_of_service(process: &Process, name: &str) -> bool {
    process.unit.as_deref().and_then(|unit| unit.strip_suffix(".service")) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str, unit: Option<&str>) -> Process {
        Process { name: name.to_owned(), program: None, unit: unit.map(str::to_owned) }
    }

    #[test]
    fn products_are_known_by_what_runs() {
        let clam = [process("clamd", Some("clamav-daemon.service"))];
        assert!(runs("ClamAV", &clam) && runs("clamav", &clam) && runs("clamav-daemon.service", &clam));
        assert!(!runs("Sophos", &clam) && !runs("clam", &clam));
        let falcon = [process("falcon-sensor", None)];
        assert!(named("crowdstrike").unwrap().runs(&falcon) && !named("sentinelone").unwrap().runs(&falcon));
        assert!(runs("a-very-long-name-of-a-daemon", &[process("a-very-long-nam", None)]));
        assert!(named("carbonblack").is_some() && named("nobody's").is_none());
    }
}
