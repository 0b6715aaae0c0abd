//! The facts of events. Their names are stable, as those of the kinds are.

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A fact.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $($(#[$doc])* $variant,)*
        }

        impl Field {
            /// Each fact, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable name, as `siem_additional_fields` takes it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    /// Name of the application.
    Application = "application",
    /// Octets that the device received.
    BytesReceived = "bytes_received",
    /// Octets that the device sent.
    BytesSent = "bytes_sent",
    /// Id of the check of the device.
    Check = "check",
    /// How many.
    Count = "count",
    /// Address that the device sent to.
    DestinationAddress = "destination_address",
    /// Name or address of the host behind it.
    DestinationHost = "destination_host",
    /// Port there.
    DestinationPort = "destination_port",
    /// Id of this device.
    DeviceId = "device_id",
    /// How long it lasted, in milliseconds.
    DurationMs = "duration_ms",
    /// What a person can do.
    Fix = "fix",
    /// Name of the gateway.
    Gateway = "gateway",
    /// The connector's interface that was used: `unix` or `http`.
    Interface = "interface",
    /// A hash, in hexadecimal digits.
    Hash = "hash",
    /// What it is about: a file, a setting, a command.
    Object = "object",
    /// `tcp`, `udp` or `icmp`.
    Protocol = "protocol",
    /// Why.
    Reason = "reason",
    /// A number in a row of events.
    Sequence = "sequence",
    /// Address that the flow comes from.
    SourceAddress = "source_address",
    /// Port there.
    SourcePort = "source_port",
    /// The state now.
    State = "state",
    /// The state before.
    StateBefore = "state_before",
    /// Number of the user on this device.
    Uid = "uid",
    /// The person, as the identity provider or the system names them.
    User = "user_id",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = Field::ALL.iter().map(|field| field.name()).collect();
        assert_eq!(names.len(), Field::ALL.len());
    }
}
