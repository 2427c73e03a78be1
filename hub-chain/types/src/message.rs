//! The kinds of lane message and their bodies.
//!
//! A message kind that a receiver does not know is refused with `E_VERSION`; no kind is ever given
//! another meaning.

use crate::{
    Address, Class, Hash, Height, MessageNumber, Weight,
    abi::AbiError,
    abi_struct,
    action::Authorisation,
    header::Signature,
    id::{BlockId, ChainId, DataId, Fingerprint, GlobalId, IdentityId, SchemaId, Xid},
    lane::{ANSWER_BIT, Message},
};

/// The protocol version that this code speaks.
pub const PROTOCOL_VERSION: u16 = 1;

abi_struct! {
    /// The first message each way: who speaks, how, and from which point of the other it trusts.
    pub struct Hello {
        /// The lowest protocol version spoken.
        pub version_min: u16,
        /// The highest protocol version spoken.
        pub version_max: u16,
        /// The chain that says Hello.
        pub chain: ChainId,
        /// The deployment mode, 1 to 3. Spec: Y.4560 cl. 10.2
        pub mode: u8,
        /// Hash of the gateway's code.
        pub gateway_code_hash: Hash,
        /// How parties are identified. Req: Y4560-10.2-1.4
        pub identification_method: String,
        /// Hash of the agreed policy.
        pub policy_hash: Hash,
        /// The recovery council.
        pub council: Vec<Address>,
        /// How many of the council must agree.
        pub council_threshold: u32,
        /// The trusting period of the sender's light client, in milliseconds.
        pub trusting_period_ms: u64,
        /// How long an announced act of the council waits, in milliseconds.
        pub council_delay_ms: u64,
        /// The largest weight of one message that the sender takes.
        pub weight_max: Weight,
        /// How many unacknowledged messages a lane may hold.
        pub backlog_max: u64,
        /// The height of the other ledger that the sender trusts.
        pub anchor_height: Height,
        /// The block there.
        pub anchor_id: BlockId,
    }
}

abi_struct! {
    /// The present standing of one identity; from the hub, on the control lane.
    pub struct IdentityUpdate {
        /// The identity.
        pub identity: IdentityId,
        /// A set of [`Role`] bits.
        pub roles: u16,
        /// A [`Status`].
        pub status: u8,
        /// For a device, its owner; else zero.
        pub owner: IdentityId,
        /// Keys that sign for it now.
        pub keys: Vec<Address>,
        /// Its account on the receiving chain; zero where none is bound.
        pub account: Address,
        /// The number of the identity's bindings when this one was signed; 0 without an account.
        pub binding_nonce: u64,
        /// The account key's signature over the binding, so that a gateway need not take the hub's
        /// word for it; [`Signature::NONE`] without an account.
        pub account_signature: Signature,
        /// The hub height from which this holds.
        pub since: Height,
    }
}

abi_struct! {
    /// A registered data structure; from the hub, on the control lane.
    pub struct SchemaUpdate {
        /// The hash of the definition.
        pub schema: SchemaId,
        /// Its canonical encoding.
        pub definition: Vec<u8>,
    }
}

abi_struct! {
    /// An act of the recovery council, announced when its delay starts.
    pub struct CouncilAct {
        /// An [`ActKind`](crate::council::ActKind).
        pub act: u8,
        /// The trust epoch that it leads to.
        pub trust_epoch: u32,
        /// Sender's block time from which it holds, in milliseconds.
        pub holds_from: u64,
        /// Hash of what it sets.
        pub subject: Hash,
        /// Who agreed, in ascending order.
        pub signers: Vec<Address>,
    }
}

abi_struct! {
    /// Copies an open item, or a new version of one, to another chain with its provenance.
    ///
    /// Req: Y4560-6.3-3
    pub struct Share {
        /// The id of the operation on all ledgers: the id of the causing transaction.
        pub global_id: GlobalId,
        /// Where the item lives.
        pub source_chain: ChainId,
        /// The height there at which the operation began.
        pub source_height: Height,
        /// Where the copy goes.
        pub destination_chain: ChainId,
        /// The item.
        pub data_id: DataId,
        /// From 1.
        pub item_version: u32,
        /// A [`DataClass`].
        pub class: u8,
        /// Structure of the envelope.
        pub schema: SchemaId,
        /// Fingerprint of the envelope.
        pub fingerprint: Fingerprint,
        /// The party that owns the item.
        pub owner: IdentityId,
        /// Terms of use and redistribution.
        pub terms: String,
        /// The canonical envelope.
        pub envelope: Vec<u8>,
        /// The identity that signed the envelope.
        pub device: IdentityId,
        /// Its signature.
        pub signature: Signature,
    }
}

abi_struct! {
    /// Asks a participant to lock all that its branch needs and to vote.
    pub struct Prepare {
        /// The encoded [`Terms`](crate::action::Terms), from which the gateway recomputes the xid.
        pub terms: Vec<u8>,
        /// The position of this participant's branch.
        pub index: u32,
        /// The encoded [`Branch`](crate::action::Branch).
        pub branch: Vec<u8>,
        /// All authorisations of this branch.
        pub authorisations: Vec<Authorisation>,
    }
}

abi_struct! {
    /// Begins a two-phase commit on a chain that has prepared its own branch: the request is its
    /// yes. A refusal frees what was locked for it.
    pub struct BeginRequest {
        /// The encoded [`Terms`](crate::action::Terms).
        pub terms: Vec<u8>,
        /// The encoded [`Branch`](crate::action::Branch)es, all of them, in order.
        pub branches: Vec<Vec<u8>>,
        /// All authorisations of all branches.
        pub authorisations: Vec<Authorisation>,
    }
}

abi_struct! {
    /// The decision of a two-phase commit; cannot be refused.
    pub struct Decision {
        /// Which.
        pub xid: Xid,
    }
}

abi_struct! {
    /// A request was refused; nothing else changed.
    pub struct Refused {
        /// The request's number in the opposite lane.
        pub of: MessageNumber,
        /// A [`Class`].
        pub class: u8,
        /// The sentence.
        pub message: String,
    }
}

abi_struct! {
    /// The answer to Prepare.
    pub struct Vote {
        /// The number of the Prepare.
        pub of: MessageNumber,
        /// Which two-phase commit.
        pub xid: Xid,
        /// Yes promises that Commit and Abort will both succeed.
        pub yes: bool,
        /// For a no, the [`Class`]; else 0.
        pub class: u8,
        /// For a no, the sentence.
        pub message: String,
    }
}

abi_struct! {
    /// The answer to a decision: it has been applied, now or before.
    pub struct Done {
        /// The number of the decision.
        pub of: MessageNumber,
        /// Which two-phase commit.
        pub xid: Xid,
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $number:expr, $weight:literal, $text:literal;)+) => {
        /// A message body of a known kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Body {
            $($(#[$doc])* $name($body),)+
        }

        impl Body {
            /// The kind's number on the wire.
            #[must_use]
            pub fn kind(&self) -> u16 {
                match self { $(Self::$name(_) => $number,)+ }
            }

            /// The kind's name, as records and traces show it.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $text,)+ }
            }

            /// The work that a receiver must grant a message of this kind.
            #[must_use]
            pub fn weight(&self) -> Weight {
                match self { $(Self::$name(_) => Weight($weight),)+ }
            }

            /// The ABI encoding of the body alone.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                match self { $(Self::$name(body) => body.encode(),)+ }
            }

            /// Reads the body of a message, or `None` where the kind is not known.
            ///
            /// # Errors
            /// [`AbiError`] where the body is not canonical.
            pub fn decode(kind: u16, bytes: &[u8]) -> Result<Option<Self>, AbiError> {
                $(if kind == $number {
                    return <$body>::decode(bytes).map(Self::$name).map(Some);
                })+
                Ok(None)
            }
        }
    };
}

kinds! {
    /// Request: first message each way.
    Hello(Hello) = 1, 4, "hello";
    /// Request, hub to chain.
    IdentityUpdate(IdentityUpdate) = 2, 1, "identity-update";
    /// Request, hub to chain.
    SchemaUpdate(SchemaUpdate) = 3, 1, "schema-update";
    /// Request, chain to hub.
    CouncilAct(CouncilAct) = 4, 1, "council-act";
    /// Request, chain to hub and hub to chain.
    Share(Share) = 5, 2, "share";
    /// Request, hub to chain; answered by a vote.
    Prepare(Prepare) = 6, 16, "prepare";
    /// Request, hub to chain; answered by done, never refused.
    Commit(Decision) = 7, 8, "commit";
    /// Request, hub to chain; answered by done, never refused.
    Abort(Decision) = 8, 8, "abort";
    /// Request, chain to hub.
    Begin(BeginRequest) = 9, 16, "begin";
    /// Answer.
    Refused(Refused) = ANSWER_BIT | 1, 1, "refused";
    /// Answer.
    Vote(Vote) = ANSWER_BIT | 2, 1, "vote";
    /// Answer.
    Done(Done) = ANSWER_BIT | 3, 1, "done";
}

impl Body {
    /// The operation that this belongs to, where the body itself names it.
    #[must_use]
    pub fn global_id(&self) -> Option<GlobalId> {
        match self {
            Self::Share(share) => Some(share.global_id),
            Self::Commit(decision) | Self::Abort(decision) => Some(GlobalId(decision.xid.0)),
            Self::Vote(vote) => Some(GlobalId(vote.xid.0)),
            Self::Done(done) => Some(GlobalId(done.xid.0)),
            Self::Hello(_)
            | Self::IdentityUpdate(_)
            | Self::SchemaUpdate(_)
            | Self::CouncilAct(_)
            | Self::Prepare(_)
            | Self::Begin(_)
            | Self::Refused(_) => None,
        }
    }
}

impl Message {
    /// A message of this body; the weight follows from its kind.
    #[must_use]
    pub fn new(body: &Body, not_after: crate::UnixMillis, salt: Hash) -> Self {
        Self { kind: body.kind(), weight: body.weight(), not_after, salt, body: body.encode() }
    }
}

/// What a party may be. Roles add up; each is one bit. Spec: Y.4560 cl. 9.1
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Role {
    /// Approves on the hub; owns devices and data.
    Stakeholder = 1,
    /// Signs readings; has an owner.
    Device = 2,
    /// Configures a node; reads, submits no data.
    Operator = 4,
    /// Carries messages.
    Relayer = 8,
    /// Reads all records.
    Auditor = 16,
    /// Supervises and certifies.
    Regulator = 32,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Stakeholder,
        Self::Device,
        Self::Operator,
        Self::Relayer,
        Self::Auditor,
        Self::Regulator,
    ];

    /// The role's bit.
    #[must_use]
    pub fn bit(self) -> u16 {
        self as u16
    }

    /// Whether a set of roles holds this one.
    #[must_use]
    pub fn is_in(self, roles: u16) -> bool {
        roles & self.bit() != 0
    }

    /// The name that people see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stakeholder => "stakeholder",
            Self::Device => "device",
            Self::Operator => "operator",
            Self::Relayer => "relayer",
            Self::Auditor => "auditor",
            Self::Regulator => "regulator",
        }
    }
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
            borsh::BorshSerialize, borsh::BorshDeserialize,
        )]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)+
        }

        impl $name {
            /// The number on the wire.
            #[must_use]
            pub fn number(self) -> u8 {
                self as u8
            }

            /// The value with this number on the wire.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// The name that people see.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

pub(crate) use numbered;

numbered!(
    /// The standing of an identity.
    Status {
        /// May act.
        Active = 1, "active";
        /// May not act until approved again.
        Suspended = 2, "suspended";
        /// May never act again.
        Revoked = 3, "revoked";
    }
);

numbered!(
    /// Whether data may be copied across ledgers. Spec: Y.4560 cl. 6.3
    DataClass {
        /// May be copied, with provenance.
        Open = 1, "open";
        /// Never copied; moved or disclosed under a grant.
        Closed = 2, "closed";
    }
);

/// A class of refusal from its number, for answers; unknown numbers stand as malformed.
#[must_use]
pub fn class_of(number: u8) -> Class {
    Class::from_number(number).unwrap_or(Class::Format)
}
