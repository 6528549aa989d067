//! The names of all checks. They are stable: scripts and the published schema rely on them.

use serde::Serialize;

macro_rules! checks {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)*) => {
        /// One check. A check of several things, such as cards, is told once for each, with a subject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum CheckId {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)*
        }

        impl CheckId {
            /// All checks, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name, `group.what`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it asks, in a sentence.
            pub const fn question(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

checks! {
    /// Can agent.yaml be read, and does it keep all rules?
    ConfigParse = "config.parse",
    /// Does agent.yaml allow plain HTTP to a control plane on another machine?
    ConfigInsecureHttp = "config.insecure_http",
    /// Can only its owner change agent.yaml?
    ConfigFileMode = "config.file_mode",
    /// Can only its owner enter the state directory?
    ConfigStateMode = "config.state_mode",
    /// Can other machines use the proxy, or read the metrics?
    ConfigListen = "config.listen",
    /// Is the receipt key there, whole and private?
    IdentityKey = "identity.key",
    /// Is the node secret there, whole and private?
    IdentitySecret = "identity.secret",
    /// Is the enrolled node the one that agent.yaml names?
    IdentityNode = "identity.node",
    /// How far is this machine's clock from the control plane's?
    ClockDrift = "clock.drift",
    /// Is a control plane named?
    NetworkAddress = "network.address",
    /// Does the proxy that the environment names let us through?
    NetworkProxy = "network.proxy",
    /// Does the control plane's name resolve?
    NetworkName = "network.name",
    /// Does the control plane take a connection?
    NetworkConnect = "network.connect",
    /// Is the connection encrypted, and does the server prove its name?
    NetworkTls = "network.tls",
    /// Can the link's WebSocket be made?
    NetworkWebsocket = "network.websocket",
    /// How long does an answer take?
    NetworkLatency = "network.latency",
    /// Is what answers a DGON control plane?
    ControlPlaneAnswer = "control_plane.answer",
    /// Does the control plane accept this node's secret?
    ControlPlaneCredentials = "control_plane.credentials",
    /// Is the node active, and if not, why?
    ControlPlaneStatus = "control_plane.status",
    /// Does the GPU driver answer?
    GpuDriver = "gpu.driver",
    /// Does the card answer?
    GpuCard = "gpu.card",
    /// How much memory does the card have?
    GpuMemory = "gpu.memory",
    /// How hot is the card?
    GpuTemperature = "gpu.temperature",
    /// Are the card's clocks held down?
    GpuThrottling = "gpu.throttling",
    /// Has the card had memory errors or Xid faults?
    GpuFaults = "gpu.faults",
    /// Does an LLM runtime answer?
    RuntimeFound = "runtime.found",
    /// Does the runtime take requests?
    RuntimeReady = "runtime.ready",
    /// Does a token come through the proxy?
    RuntimeGeneration = "runtime.generation",
    /// Does the runtime serve a model?
    ModelsServed = "models.served",
    /// Is there room for the spool?
    DiskFree = "disk.free",
    /// Can the state directory be written and synced?
    DiskWritable = "disk.writable",
    /// How many receipts wait for the control plane?
    SpoolDepth = "spool.depth",
    /// Were receipts refused?
    SpoolDeadLetters = "spool.dead_letters",
    /// Does the agent run and answer?
    AgentRunning = "agent.running",
    /// Are the running agent and this program of one version?
    AgentVersion = "agent.version",
    /// Has the running agent the settings that this shell would give it?
    AgentSettings = "agent.settings",
    /// Does the running agent's link stand?
    AgentLink = "agent.link",
    /// Does the running agent's proxy take requests?
    AgentServing = "agent.serving",
    /// While no agent runs: is the proxy's address free?
    AgentListen = "agent.listen",
    /// Is the agent installed as a service?
    ServiceInstalled = "service.installed",
    /// Does the service start with the machine?
    ServiceEnabled = "service.enabled",
    /// Does the service run?
    ServiceRunning = "service.running",
    /// Does the service start a program of this version?
    ServiceVersion = "service.version",
    /// Does the node take work from the network?
    OwnerWork = "owner.work",
    /// Can every limit that the owner has set be judged?
    OwnerLimits = "owner.limits",
}

impl CheckId {
    /// The group: the name up to the dot.
    pub fn group(self) -> &'static str {
        let name = self.as_str();
        name.split_once('.').map_or(name, |(group, _)| group)
    }

    /// The name within its group.
    pub fn name(self) -> &'static str {
        let name = self.as_str();
        name.split_once('.').map_or(name, |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_groups_stand_together() {
        let mut names: Vec<&str> = CheckId::ALL.iter().map(|id| id.as_str()).collect();
        let mut groups: Vec<&str> = CheckId::ALL.iter().map(|id| id.group()).collect();
        groups.dedup();
        let in_order = groups.clone();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups.len(), in_order.len(), "{in_order:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CheckId::ALL.len());
        assert!(CheckId::ALL.iter().all(|id| id.question().ends_with('?')));
    }
}
