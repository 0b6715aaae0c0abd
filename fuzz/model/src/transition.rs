//! What can happen in the simulated world, read from any bytes: eight bytes are one transition.

/// Bytes of one transition.
pub const LENGTH: usize = 8;

/// The payload of a transition: it is up to each what it takes from them.
pub type Choice = [u8; LENGTH - 1];

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Another policy is enforced.
    SetPolicy(Choice),
    /// A gateway is added, or added anew.
    AddGateway(Choice),
    /// A program asks for a name.
    Ask(Choice),
    /// An internal server answers otherwise from now on.
    ServerMode(Choice),
    /// A name gets other addresses.
    ChangeName(Choice),
    /// A program opens a connection.
    Connect(Choice),
    /// A program sends on a connection: data, an end, or a reset.
    TcpOut(Choice),
    /// An internal host answers on a connection.
    TcpIn(Choice),
    /// A program sends a datagram.
    UdpOut(Choice),
    /// An internal host answers a datagram.
    UdpIn(Choice),
    /// A program sends an echo request.
    EchoOut(Choice),
    /// An internal host answers it.
    EchoIn(Choice),
    /// An internal host, or a gateway that lies, sends what nobody asked for.
    Unsolicited(Choice),
    /// A router behind a gateway says that a packet could not be delivered.
    ErrorIn(Choice),
    /// The device sends what is no sound packet.
    GarbageOut(Choice),
    /// Somebody sends datagrams that no gateway made.
    GarbageIn(Choice),
    /// The network becomes better or worse.
    Weather(Choice),
    /// A gateway goes down, comes up, forgets its sessions, or moves.
    GatewayState(Choice),
    /// Time passes.
    Pass(Choice),
    /// The network becomes good; everything that is allowed must work soon.
    Heal,
}

impl Transition {
    /// Reads one. Some are more frequent than others.
    pub fn parse(bytes: [u8; LENGTH]) -> Self {
        let [kind, choice @ ..] = bytes;
        match kind % 64 {
            0 | 1 => Self::SetPolicy(choice),
            2 => Self::AddGateway(choice),
            3..=10 => Self::Ask(choice),
            11 => Self::ServerMode(choice),
            12 => Self::ChangeName(choice),
            13..=17 => Self::Connect(choice),
            18..=24 => Self::TcpOut(choice),
            25..=30 => Self::TcpIn(choice),
            31..=36 => Self::UdpOut(choice),
            37..=41 => Self::UdpIn(choice),
            42..=43 => Self::EchoOut(choice),
            44..=45 => Self::EchoIn(choice),
            46..=47 => Self::Unsolicited(choice),
            48..=49 => Self::ErrorIn(choice),
            50..=51 => Self::GarbageOut(choice),
            52 => Self::GarbageIn(choice),
            53 => Self::Weather(choice),
            54 => Self::GatewayState(choice),
            55..=62 => Self::Pass(choice),
            _ if choice[0] % 4 == 0 => Self::Heal,
            _ => Self::Pass(choice),
        }
    }

    /// All that the bytes hold.
    pub fn all(bytes: &[u8]) -> Vec<Self> {
        bytes
            .chunks_exact(LENGTH)
            .map(|chunk| Self::parse(chunk.try_into().expect("a whole chunk")))
            .collect()
    }
}
