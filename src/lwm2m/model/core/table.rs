//! The facts, a resource a line: id, minor version since which the line holds, operations, whether multiple, whether
//! mandatory, type, name, range, units. Not formatted by machine, which would take ten lines for each.

use super::CoreObject;
use crate::lwm2m::{
    model::Operations,
    path::{ObjectId, ResourceId},
    value::ResourceType,
};

pub(super) const OBJECTS: &[CoreObject] = &[
    object(0, 2, MANY, MUST, "LWM2M Security", &[SECURITY]),
    object(1, 2, MANY, MUST, "LwM2M Server", &[SERVER]),
    object(2, 1, MANY, MAY, "LwM2M Access Control", &[ACCESS_CONTROL]),
    object(3, 2, ONE, MUST, "Device", &[DEVICE]),
    object(4, 3, ONE, MAY, "Connectivity Monitoring", &[CONNECTIVITY_MONITORING]),
    object(5, 2, ONE, MAY, "Firmware Update", &[FIRMWARE_UPDATE]),
    object(6, 0, ONE, MAY, "Location", &[LOCATION]),
    object(7, 0, ONE, MAY, "Connectivity Statistics", &[CONNECTIVITY_STATISTICS]),
    object(9, 1, MANY, MAY, "LWM2M Software Management", &[SOFTWARE_MANAGEMENT]),
    object(10, 0, ONE, MAY, "LWM2M Cellular Connectivity", &[CELLULAR_CONNECTIVITY_1_0]),
    since_minor(1, object(10, 1, ONE, MAY, "LWM2M Cellular Connectivity", &[CELLULAR_CONNECTIVITY])),
    object(16, 0, MANY, MAY, "Portfolio", &[PORTFOLIO]),
    object(19, 1, MANY, MAY, "BinaryAppDataContainer", &[BINARY_APP_DATA_CONTAINER]),
    object(21, 1, MANY, MAY, "LWM2M OSCORE", &[OSCORE]),
    of_major_2(object(21, 0, MANY, MAY, "LWM2M OSCORE", &[OSCORE_2_0])),
    object(25, 0, MANY, MAY, "LwM2M Gateway", &[GATEWAY]),
    of_major_2(object(25, 0, MANY, MAY, "LwM2M Gateway", &[GATEWAY_2_0])),
    object(26, 0, MANY, MAY, "LwM2M Gateway Routing", &[GATEWAY_ROUTING]),
];

const SECURITY: Rows = &[
    (0, 0, N, ONE, MUST, TEXT, "LWM2M Server URI", "0..255", ""),
    (1, 0, N, ONE, MUST, BOOL, "Bootstrap-Server", "", ""),
    (2, 0, N, ONE, MUST, INT, "Security Mode", "0..4", ""),
    (3, 0, N, ONE, MUST, OPAQUE, "Public Key or Identity", "", ""),
    (4, 0, N, ONE, MUST, OPAQUE, "Server Public Key", "", ""),
    (5, 0, N, ONE, MUST, OPAQUE, "Secret Key", "", ""),
    (6, 0, N, ONE, MAY, INT, "SMS Security Mode", "0..255", ""),
    (7, 0, N, ONE, MAY, OPAQUE, "SMS Binding Key Parameters", "6", ""),
    (8, 0, N, ONE, MAY, OPAQUE, "SMS Binding Secret Key(s)", "16,32,48", ""),
    (9, 0, N, ONE, MAY, TEXT, "LwM2M Server SMS Number", "", ""),
    (10, 0, N, ONE, MAY, INT, "Short Server ID", "1..65534", ""),
    (11, 0, N, ONE, MAY, INT, "Client Hold Off Time", "", "s"),
    (12, 0, N, ONE, MAY, INT, "Bootstrap-Server Account Timeout", "", "s"),
    (13, 1, N, ONE, MAY, UINT, "Matching Type", "0..3", ""),
    (14, 1, N, ONE, MAY, TEXT, "SNI", "", ""),
    (15, 1, N, ONE, MAY, UINT, "Certificate Usage", "0..3", ""),
    (16, 1, N, MANY, MAY, UINT, "DTLS/TLS Ciphersuite", "", ""),
    (17, 1, N, ONE, MAY, LINK, "OSCORE Security Mode", "", ""),
    (18, 2, N, MANY, MAY, UINT, "Groups To Use by Client", "0..65535", ""),
    (19, 2, N, MANY, MAY, UINT, "Signature Algorithms Supported by Server", "0..65535", ""),
    (20, 2, N, MANY, MAY, UINT, "Signature Algorithms To Use by Client", "0..65535", ""),
    (21, 2, N, MANY, MAY, UINT, "Signature Algorithm Certs Supported by Server", "0..65535", ""),
    (22, 2, N, ONE, MAY, UINT, "TLS 1.3 Features To Use by Client", "0..65535", ""),
    (23, 2, N, ONE, MAY, UINT, "TLS Extensions Supported by Server", "0..65535", ""),
    (24, 2, N, ONE, MAY, UINT, "TLS Extensions To Use by Client", "0..65535", ""),
    (25, 2, N, MANY, MAY, TEXT, "Secondary LwM2M Server URI", "0..255", ""),
    (26, 2, N, ONE, MAY, LINK, "MQTT Server", "", ""),
    (27, 2, N, MANY, MAY, LINK, "LwM2M COSE Security", "", ""),
    (28, 2, N, ONE, MAY, INT, "RDS Destination Port", "0..15", ""),
    (29, 2, N, ONE, MAY, INT, "RDS Source Port", "0..15", ""),
    (30, 2, N, ONE, MAY, TEXT, "RDS Application ID", "", ""),
];

const SERVER: Rows = &[
    (0, 0, R, ONE, MUST, INT, "Short Server ID", "1..65534", ""),
    (1, 0, RW, ONE, MUST, INT, "Lifetime", "", "s"),
    (2, 0, RW, ONE, MAY, INT, "Default Minimum Period", "", "s"),
    (3, 0, RW, ONE, MAY, INT, "Default Maximum Period", "", "s"),
    (4, 0, E, ONE, MAY, NIL, "Disable", "", ""),
    (5, 0, RW, ONE, MAY, INT, "Disable Timeout", "", "s"),
    (6, 0, RW, ONE, MUST, BOOL, "Notification Storing When Disabled or Offline", "", ""),
    (7, 0, RW, ONE, MUST, TEXT, "Binding", "", ""),
    (8, 0, E, ONE, MUST, NIL, "Registration Update Trigger", "", ""),
    (9, 1, E, ONE, MAY, NIL, "Bootstrap-Request Trigger", "", ""),
    (10, 1, RW, ONE, MAY, LINK, "APN Link", "", ""),
    (11, 1, R, ONE, MAY, UINT, "TLS-DTLS Alert Code", "0..255", ""),
    (12, 1, R, ONE, MAY, TIME, "Last Bootstrapped", "", ""),
    (13, 1, N, ONE, MAY, UINT, "Registration Priority Order", "", ""),
    (13, 2, R, ONE, MAY, UINT, "Registration Priority Order", "", ""),
    (14, 1, N, ONE, MAY, UINT, "Initial Registration Delay Timer", "", "s"),
    (14, 2, RW, ONE, MAY, UINT, "Initial Registration Delay Timer", "", "s"),
    (15, 1, N, ONE, MAY, BOOL, "Registration Failure Block", "", ""),
    (15, 2, R, ONE, MAY, BOOL, "Registration Failure Block", "", ""),
    (16, 1, N, ONE, MAY, BOOL, "Bootstrap on Registration Failure", "", ""),
    (16, 2, R, ONE, MAY, BOOL, "Bootstrap on Registration Failure", "", ""),
    (17, 1, N, ONE, MAY, UINT, "Communication Retry Count", "", ""),
    (17, 2, RW, ONE, MAY, UINT, "Communication Retry Count", "", ""),
    (18, 1, N, ONE, MAY, UINT, "Communication Retry Timer", "", "s"),
    (18, 2, RW, ONE, MAY, UINT, "Communication Retry Timer", "", "s"),
    (19, 1, N, ONE, MAY, UINT, "Communication Sequence Delay Timer", "", "s"),
    (19, 2, RW, ONE, MAY, UINT, "Communication Sequence Delay Timer", "", "s"),
    (20, 1, N, ONE, MAY, UINT, "Communication Sequence Retry Count", "", ""),
    (20, 2, RW, ONE, MAY, UINT, "Communication Sequence Retry Count", "", ""),
    (21, 1, RW, ONE, MAY, BOOL, "Trigger", "", ""),
    (22, 1, RW, ONE, MAY, TEXT, "Preferred Transport", "", ""),
    (23, 1, RW, ONE, MAY, BOOL, "Mute Send", "", ""),
    (24, 2, RW, MANY, MAY, LINK, "Alternate APN Links", "", ""),
    (25, 2, RW, MANY, MAY, TEXT, "Supported Server Versions", "", ""),
    (26, 2, RW, ONE, MAY, INT, "Default Notification Mode", "0..1", ""),
    (27, 2, RW, ONE, MAY, UINT, "Profile ID Hash Algorithm", "0..255", ""),
];

const ACCESS_CONTROL: Rows = &[
    (0, 0, R, ONE, MUST, INT, "Object ID", "1..65534", ""),
    (1, 0, R, ONE, MUST, INT, "Object Instance ID", "0..65535", ""),
    (2, 0, RW, MANY, MAY, INT, "ACL", "0..31", ""),
    (3, 0, RW, ONE, MUST, INT, "Access Control Owner", "0..65535", ""),
];

const DEVICE: Rows = &[
    (0, 0, R, ONE, MAY, TEXT, "Manufacturer", "", ""),
    (1, 0, R, ONE, MAY, TEXT, "Model Number", "", ""),
    (2, 0, R, ONE, MAY, TEXT, "Serial Number", "", ""),
    (3, 0, R, ONE, MAY, TEXT, "Firmware Version", "", ""),
    (4, 0, E, ONE, MUST, NIL, "Reboot", "", ""),
    (5, 0, E, ONE, MAY, NIL, "Factory Reset", "", ""),
    (6, 0, R, MANY, MAY, INT, "Available Power Sources", "0..7", ""),
    (7, 0, R, MANY, MAY, INT, "Power Source Voltage", "", ""),
    (8, 0, R, MANY, MAY, INT, "Power Source Current", "", ""),
    (9, 0, R, ONE, MAY, INT, "Battery Level", "0..100", "/100"),
    (10, 0, R, ONE, MAY, INT, "Memory Free", "", ""),
    (11, 0, R, MANY, MUST, INT, "Error Code", "0..32", ""),
    (12, 0, E, ONE, MAY, NIL, "Reset Error Code", "", ""),
    (13, 0, RW, ONE, MAY, TIME, "Current Time", "", ""),
    (14, 0, RW, ONE, MAY, TEXT, "UTC Offset", "", ""),
    (15, 0, RW, ONE, MAY, TEXT, "Timezone", "", ""),
    (16, 0, R, ONE, MUST, TEXT, "Supported Binding and Modes", "", ""),
    (17, 0, R, ONE, MAY, TEXT, "Device Type", "", ""),
    (18, 0, R, ONE, MAY, TEXT, "Hardware Version", "", ""),
    (19, 0, R, ONE, MAY, TEXT, "Software Version", "", ""),
    (20, 0, R, ONE, MAY, INT, "Battery Status", "0..6", ""),
    (21, 0, R, ONE, MAY, INT, "Memory Total", "", ""),
    (22, 0, R, MANY, MAY, LINK, "ExtDevInfo", "", ""),
];

const CONNECTIVITY_MONITORING: Rows = &[
    (0, 0, R, ONE, MUST, INT, "Network Bearer", "0..50", ""),
    (1, 0, R, MANY, MUST, INT, "Available Network Bearer", "0..50", ""),
    (2, 0, R, ONE, MUST, INT, "Radio Signal Strength", "", "dBm"),
    (3, 0, R, ONE, MAY, INT, "Link Quality", "", ""),
    (4, 0, R, MANY, MUST, TEXT, "IP Addresses", "", ""),
    (5, 0, R, MANY, MAY, TEXT, "Router IP Addresses", "", ""),
    (6, 0, R, ONE, MAY, INT, "Link Utilization", "0..100", "/100"),
    (7, 0, R, MANY, MAY, TEXT, "APN", "", ""),
    (8, 0, R, ONE, MAY, INT, "Cell ID", "", ""),
    (9, 0, R, ONE, MAY, INT, "SMNC", "0..999", ""),
    (10, 0, R, ONE, MAY, INT, "SMCC", "0..999", ""),
    (11, 1, R, ONE, MAY, INT, "SignalSNR", "", "dB"),
    (12, 2, R, ONE, MAY, INT, "LAC", "", ""),
    (13, 3, R, ONE, MAY, INT, "Coverage Enhancement Level", "0..4", ""),
];

const FIRMWARE_UPDATE: Rows = &[
    (0, 0, W, ONE, MUST, OPAQUE, "Package", "", ""),
    (1, 0, RW, ONE, MUST, TEXT, "Package URI", "0..255", ""),
    (2, 0, E, ONE, MUST, NIL, "Update", "", ""),
    (3, 0, R, ONE, MUST, INT, "State", "0..3", ""),
    (5, 0, R, ONE, MUST, INT, "Update Result", "0..11", ""),
    (6, 0, R, ONE, MAY, TEXT, "PkgName", "0..255", ""),
    (7, 0, R, ONE, MAY, TEXT, "PkgVersion", "0..255", ""),
    (8, 0, R, MANY, MAY, INT, "Firmware Update Protocol Support", "0..5", ""),
    (9, 0, R, ONE, MUST, INT, "Firmware Update Delivery Method", "0..2", ""),
    (10, 1, E, ONE, MAY, NIL, "Cancel", "", ""),
    (11, 1, RW, ONE, MAY, INT, "Severity", "0..2", ""),
    (12, 1, R, ONE, MAY, TIME, "Last State Change Time", "", ""),
    (13, 1, RW, ONE, MAY, UINT, "Maximum Defer Period", "", "s"),
    (14, 2, RW, ONE, MAY, BOOL, "Automatic Upgrade at Download", "", ""),
];

const LOCATION: Rows = &[
    (0, 0, R, ONE, MUST, FLOAT, "Latitude", "", "lat"),
    (1, 0, R, ONE, MUST, FLOAT, "Longitude", "", "lon"),
    (2, 0, R, ONE, MAY, FLOAT, "Altitude", "", "m"),
    (3, 0, R, ONE, MAY, FLOAT, "Radius", "", "m"),
    (4, 0, R, ONE, MAY, OPAQUE, "Velocity", "", ""),
    (5, 0, R, ONE, MUST, TIME, "Timestamp", "", ""),
    (6, 0, R, ONE, MAY, FLOAT, "Speed", "", "m/s"),
];

const CONNECTIVITY_STATISTICS: Rows = &[
    (0, 0, R, ONE, MAY, INT, "SMS Tx Counter", "", ""),
    (1, 0, R, ONE, MAY, INT, "SMS Rx Counter", "", ""),
    (2, 0, R, ONE, MAY, INT, "Tx Data", "", ""),
    (3, 0, R, ONE, MAY, INT, "Rx Data", "", ""),
    (4, 0, R, ONE, MAY, INT, "Max Message Size", "", "B"),
    (5, 0, R, ONE, MAY, INT, "Average Message Size", "", "B"),
    (6, 0, E, ONE, MUST, NIL, "Start", "", ""),
    (7, 0, E, ONE, MUST, NIL, "Stop", "", ""),
    (8, 0, RW, ONE, MAY, INT, "Collection Period", "", "s"),
];

const SOFTWARE_MANAGEMENT: Rows = &[
    (0, 0, R, ONE, MUST, TEXT, "PkgName", "0..255 bytes", ""),
    (1, 0, R, ONE, MUST, TEXT, "PkgVersion", "0..255 bytes", ""),
    (2, 0, W, ONE, MAY, OPAQUE, "Package", "", ""),
    (3, 0, W, ONE, MAY, TEXT, "Package URI", "0..255 bytes", ""),
    (4, 0, E, ONE, MUST, NIL, "Install", "", ""),
    (5, 0, R, ONE, MAY, LINK, "Checkpoint", "", ""),
    (6, 0, E, ONE, MUST, NIL, "Uninstall", "", ""),
    (7, 0, R, ONE, MUST, INT, "Update State", "0..4", ""),
    (8, 0, RW, ONE, MAY, BOOL, "Update Supported Objects", "", ""),
    (9, 0, R, ONE, MUST, INT, "Update Result", "0..200", ""),
    (10, 0, E, ONE, MUST, NIL, "Activate", "", ""),
    (11, 0, E, ONE, MUST, NIL, "Deactivate", "", ""),
    (12, 0, R, ONE, MUST, BOOL, "Activation State", "", ""),
    (13, 0, RW, ONE, MAY, LINK, "Package Settings", "", ""),
    (14, 0, W, ONE, MAY, TEXT, "User Name", "0..255 bytes", ""),
    (15, 0, W, ONE, MAY, TEXT, "Password", "0..255 bytes", ""),
    (16, 0, R, ONE, MAY, TEXT, "Status Reason", "", ""),
    (17, 0, R, MANY, MAY, LINK, "Software Component Link", "", ""),
    (18, 0, R, ONE, MAY, INT, "Software Component tree length", "0..255", ""),
    (19, 1, E, ONE, MUST, NIL, "Start", "", ""),
    (20, 1, E, ONE, MUST, NIL, "Stop", "", ""),
    (21, 1, R, ONE, MUST, UINT, "Operational State", "0..15", ""),
    (22, 1, E, ONE, MAY, NIL, "Purge", "", ""),
];

const CELLULAR_CONNECTIVITY_1_0: Rows = &[
    (0, 0, RW, ONE, MAY, TEXT, "SMSC address", "", ""),
    (1, 0, RW, ONE, MAY, INT, "Disable radio period", "0..65535", ""),
    (2, 0, RW, ONE, MAY, TEXT, "Module activation code", "", ""),
    (3, 0, R, ONE, MAY, LINK, "Vendor specific extensions", "", ""),
    (4, 0, RW, ONE, MAY, INT, "PSM Timer (1)", "", "s"),
    (5, 0, RW, ONE, MAY, INT, "Active Timer (1)", "", "s"),
    (6, 0, R, ONE, MAY, INT, "Serving PLMN Rate control", "", ""),
    (7, 0, RW, ONE, MAY, OPAQUE, "eDRX parameters for Iu mode (1)", "8 bit", ""),
    (8, 0, RW, ONE, MAY, OPAQUE, "eDRX parameters for WB-S1 mode (1)", "8 bit", ""),
    (9, 0, RW, ONE, MAY, OPAQUE, "eDRX parameters for NB-S1 mode (1)", "8 bit", ""),
    (10, 0, RW, ONE, MAY, OPAQUE, "eDRX parameters for A/Gb mode (1)", "8 bit", ""),
    (11, 0, R, MANY, MUST, LINK, "Activated Profile Names", "", ""),
];

const CELLULAR_CONNECTIVITY: Rows = &[
    (0, 1, RW, ONE, MAY, TEXT, "SMSC address", "", ""),
    (1, 1, RW, ONE, MAY, INT, "Disable radio period", "0..65535", ""),
    (2, 1, RW, ONE, MAY, TEXT, "Module activation code", "", ""),
    (3, 1, R, ONE, MAY, LINK, "Vendor specific extensions", "", ""),
    (4, 1, RW, ONE, MAY, INT, "PSM Timer", "", "s"),
    (5, 1, RW, ONE, MAY, INT, "Active Timer", "", "s"),
    (7, 1, RW, ONE, MAY, OPAQUE, "eDRX parameters for Iu mode", "0..255", ""),
    (8, 1, RW, ONE, MAY, OPAQUE, "eDRX parameters for WB-S1 mode", "0..255", ""),
    (9, 1, RW, ONE, MAY, OPAQUE, "eDRX parameters for NB-S1 mode", "0..255", ""),
    (10, 1, RW, ONE, MAY, OPAQUE, "eDRX parameters for A/Gb mode", "0..255", ""),
    (11, 1, R, MANY, MUST, LINK, "Activated Profile Names", "", ""),
    (12, 1, R, ONE, MAY, UINT, "Supported Power Saving Modes", "0..255", ""),
    (13, 1, RW, ONE, MAY, UINT, "Active Power Saving Modes", "0..255", ""),
    (14, 1, RW, ONE, MAY, UINT, "Release Assistance Indication Usage", "0..255", ""),
];

const PORTFOLIO: Rows = &[
    (0, 0, RW, MANY, MUST, TEXT, "Identity", "", ""),
    (1, 0, E, ONE, MAY, NIL, "GetAuthData", "", ""),
    (2, 0, R, MANY, MAY, OPAQUE, "AuthData", "", ""),
    (3, 0, R, ONE, MAY, INT, "AuthStatus", "0..2", ""),
];

const BINARY_APP_DATA_CONTAINER: Rows = &[
    (0, 0, RW, MANY, MUST, OPAQUE, "Data", "", ""),
    (1, 0, RW, ONE, MAY, INT, "Data Priority", "1 bytes", ""),
    (2, 0, RW, ONE, MAY, TIME, "Data Creation Time", "", ""),
    (3, 0, RW, ONE, MAY, TEXT, "Data Description", "32 bytes", ""),
    (4, 0, RW, ONE, MAY, TEXT, "Data Format", "32 bytes", ""),
    (5, 0, RW, ONE, MAY, INT, "App ID", "2 bytes", ""),
];

const OSCORE: Rows = &[
    (0, 0, N, ONE, MUST, TEXT, "OSCORE Master Secret", "", ""),
    (1, 0, N, ONE, MUST, TEXT, "OSCORE Sender ID", "", ""),
    (2, 0, N, ONE, MUST, TEXT, "OSCORE Recipient ID", "", ""),
    (3, 0, N, ONE, MAY, INT, "OSCORE AEAD Algorithm", "", ""),
    (4, 0, N, ONE, MAY, INT, "OSCORE HMAC Algorithm", "", ""),
    (5, 0, N, ONE, MAY, TEXT, "OSCORE Master Salt", "", ""),
    (6, 1, N, ONE, MAY, TEXT, "OSCORE ID Context", "", ""),
];

const OSCORE_2_0: Rows = &[
    (0, 0, N, ONE, MUST, OPAQUE, "OSCORE Master Secret", "", ""),
    (1, 0, N, ONE, MUST, OPAQUE, "OSCORE Sender ID", "", ""),
    (2, 0, N, ONE, MUST, OPAQUE, "OSCORE Recipient ID", "", ""),
    (3, 0, N, ONE, MAY, INT, "OSCORE AEAD Algorithm", "", ""),
    (4, 0, N, ONE, MAY, INT, "OSCORE HMAC Algorithm", "", ""),
    (5, 0, N, ONE, MAY, OPAQUE, "OSCORE Master Salt", "", ""),
    (6, 0, N, ONE, MAY, OPAQUE, "OSCORE ID Context", "", ""),
];

const GATEWAY: Rows = &[
    (0, 0, R, ONE, MUST, TEXT, "Device ID", "", ""),
    (1, 0, RW, ONE, MUST, TEXT, "Prefix", "", ""),
    (2, 0, R, ONE, MAY, LINK, "Routing Table Entry", "", ""),
];

const GATEWAY_2_0: Rows = &[
    (0, 0, R, ONE, MUST, TEXT, "Device ID", "", ""),
    (1, 0, R, ONE, MUST, TEXT, "Prefix", "", ""),
    (3, 0, R, ONE, MUST, CORE_LINK, "IoT Device Objects", "", ""),
];

const GATEWAY_ROUTING: Rows = &[
    (0, 0, R, ONE, MUST, UINT, "LwM2M Object ID", "", ""),
    (1, 0, R, ONE, MUST, CORE_LINK, "Mapping Info", "", ""),
];

type Row = (
    ResourceId,
    u8,
    Operations,
    bool,
    bool,
    ResourceType,
    &'static str,
    &'static str,
    &'static str,
);
pub(super) type Rows = &'static [Row];

pub(super) const N: Operations = operations(false, false, false);
pub(super) const R: Operations = operations(true, false, false);
pub(super) const W: Operations = operations(false, true, false);
pub(super) const RW: Operations = operations(true, true, false);
pub(super) const E: Operations = operations(false, false, true);

pub(super) const ONE: bool = false;
pub(super) const MANY: bool = true;
pub(super) const MAY: bool = false;
pub(super) const MUST: bool = true;

pub(super) const TEXT: ResourceType = ResourceType::String;
pub(super) const INT: ResourceType = ResourceType::Integer;
const UINT: ResourceType = ResourceType::UnsignedInteger;
pub(super) const FLOAT: ResourceType = ResourceType::Float;
pub(super) const BOOL: ResourceType = ResourceType::Boolean;
pub(super) const OPAQUE: ResourceType = ResourceType::Opaque;
pub(super) const TIME: ResourceType = ResourceType::Time;
const LINK: ResourceType = ResourceType::ObjectLink;
const CORE_LINK: ResourceType = ResourceType::CoreLink;
pub(super) const NIL: ResourceType = ResourceType::None;

const fn operations(read: bool, write: bool, execute: bool) -> Operations {
    Operations {
        read,
        write,
        execute,
    }
}

pub(super) const fn object(
    id: ObjectId,
    newest: u8,
    multiple: bool,
    mandatory: bool,
    name: &'static str,
    tables: &'static [Rows],
) -> CoreObject {
    CoreObject {
        id,
        name,
        multiple,
        mandatory,
        major: 1,
        oldest: 0,
        newest,
        tables,
    }
}

/// The same object, its versions 2.0 to 2.`newest`.
pub(super) const fn of_major_2(mut object: CoreObject) -> CoreObject {
    object.major = 2;
    object
}

/// The same object without the versions below this minor one.
const fn since_minor(oldest: u8, mut object: CoreObject) -> CoreObject {
    object.oldest = oldest;
    object
}
