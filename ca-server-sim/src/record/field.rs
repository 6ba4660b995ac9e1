//! What a record type's table says of a field.

use crate::state::codec::saved;

/// The type of a field in a record (`DBF_…` of EPICS Base).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Dbf {
    /// Text of limited length.
    String,
    /// Signed, 8 bits.
    Char,
    /// Unsigned, 8 bits.
    UChar,
    /// Signed, 16 bits.
    Short,
    /// Unsigned, 16 bits.
    UShort,
    /// Signed, 32 bits.
    Long,
    /// Unsigned, 32 bits.
    ULong,
    /// Signed, 64 bits.
    Int64,
    /// Unsigned, 64 bits.
    UInt64,
    /// Real, 32 bits.
    Float,
    /// Real, 64 bits.
    Double,
    /// Number of a state, whose text the record has.
    Enum,
    /// Number of a choice of a menu.
    Menu,
    /// Number of a device support (`DTYP`).
    Device,
    /// Where a value comes from.
    InLink,
    /// Where a value goes to.
    OutLink,
    /// What is processed next.
    FwdLink,
    /// Not for clients: state of the record's support, or an array whose type another field tells.
    NoAccess,
}

impl Dbf {
    /// The types that an array of a record may have, by their number in `menuFtype`.
    pub const ARRAYS: [Self; 12] = [
        Self::String,
        Self::Char,
        Self::UChar,
        Self::Short,
        Self::UShort,
        Self::Long,
        Self::ULong,
        Self::Int64,
        Self::UInt64,
        Self::Float,
        Self::Double,
        Self::Enum,
    ];

    /// Whether it is one of the three kinds of links.
    pub const fn is_link(self) -> bool {
        matches!(self, Self::InLink | Self::OutLink | Self::FwdLink)
    }

    /// Whether it is held as a number of 16 bits that stands for a text.
    pub const fn is_choice(self) -> bool {
        matches!(self, Self::Enum | Self::Menu | Self::Device)
    }

    /// Whether it is a number of any kind that stands for nothing else.
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Char
                | Self::UChar
                | Self::Short
                | Self::UShort
                | Self::Long
                | Self::ULong
                | Self::Int64
                | Self::UInt64
                | Self::Float
                | Self::Double
        )
    }

    /// Whether it is a floating-point number.
    pub const fn is_real(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }
}

/// What else happens when a field is written (`special` of EPICS Base).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Special {
    /// Nothing.
    Plain,
    /// It cannot be written.
    NoMod,
    /// The record's support says where the value is: an array.
    DbAddr,
    /// The record changes its place in the scan lists.
    Scan,
    /// The record changes its access security group.
    As,
    /// The record's support looks at it.
    Mod,
    /// As [`Mod`](Self::Mod): clears.
    Reset,
    /// As [`Mod`](Self::Mod): conversion from raw values.
    LinConv,
    /// As [`Mod`](Self::Mod): an expression.
    Calc,
    /// Alarms are acknowledged.
    AlarmAck,
}

impl Special {
    /// Whether the record type's own function is asked.
    pub const fn asks_support(self) -> bool {
        matches!(self, Self::Mod | Self::Reset | Self::LinConv | Self::Calc)
    }
}

/// One line of the table of a record type that is built in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FieldDef {
    /// Its name, in capitals.
    pub name: &'static str,
    /// Its type.
    pub dbf: Dbf,
    /// Bytes of a text, its NUL included; 0 for other types.
    pub size: u16,
    /// The menu of a [`Dbf::Menu`].
    pub menu: &'static str,
    /// The value it has when a file says nothing, as a file would write it.
    pub initial: &'static str,
    /// Access security level: 0 for what operators change, 1 for configuration.
    pub asl: u8,
    /// What else happens when it is written.
    pub special: Special,
    /// Writing it processes a passive record.
    pub pp: bool,
    /// Writing it tells those who subscribed to properties.
    pub prop: bool,
    /// For whom the field is of interest, from 0 (everybody) to 4 (programmers).
    pub interest: u8,
}

impl FieldDef {
    const fn new(dbf: Dbf) -> Self {
        Self {
            name: "",
            dbf,
            size: 0,
            menu: "",
            initial: "",
            asl: 1,
            special: Special::Plain,
            pp: false,
            prop: false,
            interest: 0,
        }
    }

    pub(super) const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
    pub(super) const fn asl0(self) -> Self {
        Self { asl: 0, ..self }
    }
    pub(super) const fn pp(self) -> Self {
        Self { pp: true, ..self }
    }
    pub(super) const fn prop(self) -> Self {
        Self { prop: true, ..self }
    }
    pub(super) const fn special(self, special: Special) -> Self {
        Self { special, ..self }
    }
    pub(super) const fn initial(self, initial: &'static str) -> Self {
        Self { initial, ..self }
    }
    pub(super) const fn interest(self, interest: u8) -> Self {
        Self { interest, ..self }
    }
}

macro_rules! constructors {
    ($($name:ident $dbf:ident,)+) => {
        $(pub(super) const fn $name() -> FieldDef { FieldDef::new(Dbf::$dbf) })+
    };
}

constructors! {
    uchar UChar,
    short Short,
    ushort UShort,
    long Long,
    ulong ULong,
    float Float,
    int64 Int64,
    uint64 UInt64,
    double Double,
    enumeration Enum,
    device Device,
    inlink InLink,
    outlink OutLink,
    fwdlink FwdLink,
    noaccess NoAccess,
}

/// A text of this many bytes, its NUL included.
pub(super) const fn string(size: u16) -> FieldDef {
    let mut field = FieldDef::new(Dbf::String);
    field.size = size;
    field
}

/// A choice of a menu.
pub(super) const fn menu(name: &'static str) -> FieldDef {
    let mut field = FieldDef::new(Dbf::Menu);
    field.menu = name;
    field
}

/// Fields of a table that are named by the letters of their arguments: `INPA..INPU`.
macro_rules! lettered {
    (AA LL => $then:ident!($($args:tt)*)) => { $then! { [AA BB CC DD EE FF GG HH II JJ KK LL] $($args)* } };
    (CAV CPV => $then:ident!($($args:tt)*)) => { $then! { [CAV CBV CCV CDV CEV CFV CGV CHV CIV CJV CKV CLV CMV CNV COV CPV] $($args)* } };
    (CLCA CLCP => $then:ident!($($args:tt)*)) => { $then! { [CLCA CLCB CLCC CLCD CLCE CLCF CLCG CLCH CLCI CLCJ CLCK CLCL CLCM CLCN CLCO CLCP] $($args)* } };
    (CMTA CMTP => $then:ident!($($args:tt)*)) => { $then! { [CMTA CMTB CMTC CMTD CMTE CMTF CMTG CMTH CMTI CMTJ CMTK CMTL CMTM CMTN CMTO CMTP] $($args)* } };
    (FTA FTU => $then:ident!($($args:tt)*)) => { $then! { [FTA FTB FTC FTD FTE FTF FTG FTH FTI FTJ FTK FTL FTM FTN FTO FTP FTQ FTR FTS FTT FTU] $($args)* } };
    (FTVA FTVU => $then:ident!($($args:tt)*)) => { $then! { [FTVA FTVB FTVC FTVD FTVE FTVF FTVG FTVH FTVI FTVJ FTVK FTVL FTVM FTVN FTVO FTVP FTVQ FTVR FTVS FTVT FTVU] $($args)* } };
    (IAAV ILLV => $then:ident!($($args:tt)*)) => { $then! { [IAAV IBBV ICCV IDDV IEEV IFFV IGGV IHHV IIIV IJJV IKKV ILLV] $($args)* } };
    (IAV IPV => $then:ident!($($args:tt)*)) => { $then! { [IAV IBV ICV IDV IEV IFV IGV IHV IIV IJV IKV ILV IMV INV IOV IPV] $($args)* } };
    (INAA INLL => $then:ident!($($args:tt)*)) => { $then! { [INAA INBB INCC INDD INEE INFF INGG INHH INII INJJ INKK INLL] $($args)* } };
    (INAN INLN => $then:ident!($($args:tt)*)) => { $then! { [INAN INBN INCN INDN INEN INFN INGN INHN ININ INJN INKN INLN] $($args)* } };
    (INAP INLP => $then:ident!($($args:tt)*)) => { $then! { [INAP INBP INCP INDP INEP INFP INGP INHP INIP INJP INKP INLP] $($args)* } };
    (NEA NEU => $then:ident!($($args:tt)*)) => { $then! { [NEA NEB NEC NED NEE NEF NEG NEH NEI NEJ NEK NEL NEM NEN NEO NEP NEQ NER NES NET NEU] $($args)* } };
    (NEVA NEVU => $then:ident!($($args:tt)*)) => { $then! { [NEVA NEVB NEVC NEVD NEVE NEVF NEVG NEVH NEVI NEVJ NEVK NEVL NEVM NEVN NEVO NEVP NEVQ NEVR NEVS NEVT NEVU] $($args)* } };
    (NOA NOU => $then:ident!($($args:tt)*)) => { $then! { [NOA NOB NOC NOD NOE NOF NOG NOH NOI NOJ NOK NOL NOM NON NOO NOP NOQ NOR NOS NOT NOU] $($args)* } };
    (NOVA NOVU => $then:ident!($($args:tt)*)) => { $then! { [NOVA NOVB NOVC NOVD NOVE NOVF NOVG NOVH NOVI NOVJ NOVK NOVL NOVM NOVN NOVO NOVP NOVQ NOVR NOVS NOVT NOVU] $($args)* } };
    (OAV OPV => $then:ident!($($args:tt)*)) => { $then! { [OAV OBV OCV ODV OEV OFV OGV OHV OIV OJV OKV OLV OMV ONV OOV OPV] $($args)* } };
    (ONVA ONVU => $then:ident!($($args:tt)*)) => { $then! { [ONVA ONVB ONVC ONVD ONVE ONVF ONVG ONVH ONVI ONVJ ONVK ONVL ONVM ONVN ONVO ONVP ONVQ ONVR ONVS ONVT ONVU] $($args)* } };
    (OUTA OUTP => $then:ident!($($args:tt)*)) => { $then! { [OUTA OUTB OUTC OUTD OUTE OUTF OUTG OUTH OUTI OUTJ OUTK OUTL OUTM OUTN OUTO OUTP] $($args)* } };
    (OUTA OUTU => $then:ident!($($args:tt)*)) => { $then! { [OUTA OUTB OUTC OUTD OUTE OUTF OUTG OUTH OUTI OUTJ OUTK OUTL OUTM OUTN OUTO OUTP OUTQ OUTR OUTS OUTT OUTU] $($args)* } };
    (OVLA OVLU => $then:ident!($($args:tt)*)) => { $then! { [OVLA OVLB OVLC OVLD OVLE OVLF OVLG OVLH OVLI OVLJ OVLK OVLL OVLM OVLN OVLO OVLP OVLQ OVLR OVLS OVLT OVLU] $($args)* } };
    (PA PL => $then:ident!($($args:tt)*)) => { $then! { [PA PB PC PD PE PF PG PH PI PJ PK PL] $($args)* } };
    (PAA PLL => $then:ident!($($args:tt)*)) => { $then! { [PAA PBB PCC PDD PEE PFF PGG PHH PII PJJ PKK PLL] $($args)* } };
    (RPCA RPCP => $then:ident!($($args:tt)*)) => { $then! { [RPCA RPCB RPCC RPCD RPCE RPCF RPCG RPCH RPCI RPCJ RPCK RPCL RPCM RPCN RPCO RPCP] $($args)* } };
    (VALA VALU => $then:ident!($($args:tt)*)) => { $then! { [VALA VALB VALC VALD VALE VALF VALG VALH VALI VALJ VALK VALL VALM VALN VALO VALP VALQ VALR VALS VALT VALU] $($args)* } };
    (A U => $then:ident!($($args:tt)*)) => { $then! { [A B C D E F G H I J K L M N O P Q R S T U] $($args)* } };
    (A L => $then:ident!($($args:tt)*)) => { $then! { [A B C D E F G H I J K L] $($args)* } };
    (A P => $then:ident!($($args:tt)*)) => { $then! { [A B C D E F G H I J K L M N O P] $($args)* } };
    (LA LU => $then:ident!($($args:tt)*)) => { $then! { [LA LB LC LD LE LF LG LH LI LJ LK LL LM LN LO LP LQ LR LS LT LU] $($args)* } };
    (LA LL => $then:ident!($($args:tt)*)) => { $then! { [LA LB LC LD LE LF LG LH LI LJ LK LL] $($args)* } };
    (LA LP => $then:ident!($($args:tt)*)) => { $then! { [LA LB LC LD LE LF LG LH LI LJ LK LL LM LN LO LP] $($args)* } };
    (INPA INPU => $then:ident!($($args:tt)*)) => { $then! { [INPA INPB INPC INPD INPE INPF INPG INPH INPI INPJ INPK INPL INPM INPN INPO INPP INPQ INPR INPS INPT INPU] $($args)* } };
    (INPA INPL => $then:ident!($($args:tt)*)) => { $then! { [INPA INPB INPC INPD INPE INPF INPG INPH INPI INPJ INPK INPL] $($args)* } };
    (INPA INPP => $then:ident!($($args:tt)*)) => { $then! { [INPA INPB INPC INPD INPE INPF INPG INPH INPI INPJ INPK INPL INPM INPN INPO INPP] $($args)* } };
    (INPM INPU => $then:ident!($($args:tt)*)) => { $then! { [INPM INPN INPO INPP INPQ INPR INPS INPT INPU] $($args)* } };
    (INAV INUV => $then:ident!($($args:tt)*)) => { $then! { [INAV INBV INCV INDV INEV INFV INGV INHV INIV INJV INKV INLV INMV INNV INOV INPV INQV INRV INSV INTV INUV] $($args)* } };
    (INAV INLV => $then:ident!($($args:tt)*)) => { $then! { [INAV INBV INCV INDV INEV INFV INGV INHV INIV INJV INKV INLV] $($args)* } };
}
pub(crate) use lettered;

/// One line of a table: a field, or as many as a range names.
macro_rules! entry {
    ([$($name:ident)+] $field:expr) => { &[$($field.named(stringify!($name)),)+] };
    ($name:ident => $field:expr) => { &[$field.named(stringify!($name))] };
    ($first:ident $last:ident => $field:expr) => {
        $crate::record::field::lettered!($first $last => entry!($field))
    };
}
pub(crate) use entry;

/// The constants of one line of a table.
macro_rules! indices {
    ([$($name:ident)+] $from:expr) => {
        $(
            #[doc = concat!("Index of ", stringify!($name), ".")]
            #[allow(dead_code)]
            pub(crate) const $name: u16 = $from + $crate::record::field::place(FIELDS, stringify!($name));
        )+
    };
    ($name:ident => $from:expr) => {
        $crate::record::field::indices!([$name] $from);
    };
    ($first:ident $last:ident => $from:expr) => {
        $crate::record::field::lettered!($first $last => indices!($from));
    };
}
pub(crate) use indices;

/// How many fields the lines of a table have.
pub(crate) const fn count(lines: &[&[FieldDef]]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < lines.len() {
        sum += lines[at].len();
        at += 1;
    }
    sum
}

/// The fields of the lines of a table, one after the other.
pub(crate) const fn flat<const COUNT: usize>(lines: &[&[FieldDef]]) -> [FieldDef; COUNT] {
    let mut all = [FieldDef::new(Dbf::NoAccess); COUNT];
    let (mut line, mut to) = (0, 0);
    while line < lines.len() {
        let mut at = 0;
        while at < lines[line].len() {
            all[to] = lines[line][at];
            at += 1;
            to += 1;
        }
        line += 1;
    }
    all
}

/// The place of a field in a table that has it.
pub(crate) const fn place(fields: &[FieldDef], name: &str) -> u16 {
    let mut at = 0;
    while !is_same(fields[at].name.as_bytes(), name.as_bytes()) {
        at += 1;
    }
    at as u16
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The table of a record type: `FIELDS`, and a constant for the index of each field, by which functions
/// of the record type address it. The first argument is the index of the first one. `INPA..INPU` stands for
/// the fields of all arguments from `A` to `U`.
macro_rules! fields {
    ($first:expr, $($name:ident $(.. $last:ident)? => $field:expr,)+) => {
        $($crate::record::field::indices!($name $($last)? => $first);)+
        /// The fields in order of their indices.
        pub(crate) const FIELDS: &[FieldDef] = {
            const LINES: &[&[FieldDef]] =
                &[$($crate::record::field::entry!($name $($last)? => $field)),+];
            &$crate::record::field::flat::<{ $crate::record::field::count(LINES) }>(LINES)
        };
    };
}
pub(crate) use fields;

saved!(enum Dbf {
    0 String, 1 Char, 2 UChar, 3 Short, 4 UShort, 5 Long, 6 ULong, 7 Int64, 8 UInt64, 9 Float, 10 Double, 11 Enum,
    12 Menu, 13 Device, 14 InLink, 15 OutLink, 16 FwdLink, 17 NoAccess,
});
