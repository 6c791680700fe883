//! Sensors and actuators of the IPSO Alliance: the facts, in the form that [`super::table`] describes.

use super::{
    CoreObject,
    table::{
        BOOL, E, FLOAT, INT, MANY, MAY, MUST, NIL, ONE, OPAQUE, R, RW, Rows, TEXT, TIME, W, object, of_major_2,
    },
};
use crate::lwm2m::path::ObjectId;

pub(super) const OBJECTS: &[CoreObject] = &[
    ipso(3200, 1, "Digital Input", &[DIGITAL_INPUT, TIMESTAMP, APPLICATION_TYPE, SENSOR_TYPE, INPUT]),
    ipso(3201, 1, "Digital Output", &[DIGITAL_OUTPUT, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3202, 1, "Analog Input", &[ANALOG_INPUT, EXTREMES, MEASURING_RANGE, QUALITY, TIMESTAMP, APPLICATION_TYPE, SENSOR_TYPE]),
    ipso(3203, 1, "Analog Output", &[ANALOG_OUTPUT, MEASURING_RANGE, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3300, 1, "Generic Sensor", &[EXTREMES, MEASURING_RANGE, VALUE, QUALITY, TIMESTAMP, APPLICATION_TYPE, SENSOR_TYPE]),
    ipso(3301, 1, "Illuminance", MEASURED),
    ipso(3302, 1, "Presence", &[PRESENCE, QUALITY, TIMESTAMP, APPLICATION_TYPE_SINCE_1_1, SENSOR_TYPE, INPUT]),
    ipso(3303, 1, "Temperature", MEASURED),
    ipso(3304, 1, "Humidity", MEASURED),
    ipso(3305, 1, "Power Measurement", &[POWER_MEASUREMENT, QUALITY, TIMESTAMP, APPLICATION_TYPE_SINCE_1_1, CALIBRATION, POWER]),
    ipso(3306, 1, "Actuation", &[ACTUATION, TIMESTAMP, APPLICATION_TYPE, ON_OFF_DIMMER]),
    ipso(3308, 1, "Set Point", &[SET_POINT, UNITS, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3310, 1, "Load Control", &[LOAD_CONTROL, TIMESTAMP, APPLICATION_TYPE_SINCE_1_1]),
    ipso(3311, 0, "Light Control", &[LIGHT_CONTROL, UNITS, APPLICATION_TYPE, POWER, ON_OFF_DIMMER]),
    ipso(3312, 1, "Power Control", &[TIMESTAMP, APPLICATION_TYPE, POWER, ON_OFF_DIMMER]),
    ipso(3313, 1, "Accelerometer", &[MEASURING_RANGE, UNITS, QUALITY, TIMESTAMP, APPLICATION_TYPE_SINCE_1_1, AXES]),
    ipso(3314, 1, "Magnetometer", &[MAGNETOMETER, UNITS, QUALITY, TIMESTAMP, APPLICATION_TYPE_SINCE_1_1, AXES]),
    ipso(3315, 1, "Barometer", MEASURED),
    ipso(3316, 1, "Voltage", CALIBRATED),
    ipso(3317, 1, "Current", CALIBRATED),
    ipso(3318, 1, "Frequency", CALIBRATED),
    ipso(3319, 1, "Depth", CALIBRATED),
    ipso(3320, 1, "Percentage", CALIBRATED),
    ipso(3321, 1, "Altitude", CALIBRATED),
    ipso(3322, 1, "Load", CALIBRATED),
    ipso(3323, 1, "Pressure", CALIBRATED),
    ipso(3324, 1, "Loudness", CALIBRATED),
    ipso(3325, 1, "Concentration", CALIBRATED),
    ipso(3326, 1, "Acidity", CALIBRATED),
    ipso(3327, 1, "Conductivity", CALIBRATED),
    ipso(3328, 1, "Power", CALIBRATED),
    ipso(3329, 1, "Power Factor", CALIBRATED),
    ipso(3330, 1, "Distance", CALIBRATED),
    ipso(3331, 1, "Energy", &[ENERGY, VALUE, QUALITY, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3332, 1, "Direction", &[DIRECTION, EXTREMES, QUALITY, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3333, 1, "Time", &[CLOCK, QUALITY, APPLICATION_TYPE]),
    ipso(3334, 1, "Gyrometer", &[GYROMETER, MEASURING_RANGE, UNITS, QUALITY, TIMESTAMP, APPLICATION_TYPE, AXES]),
    ipso(3335, 1, "Colour", &[COLOUR, UNITS, QUALITY, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3336, 1, "Location", &[LOCATION, QUALITY, APPLICATION_TYPE]),
    of_major_2(ipso(3336, 0, "Location", &[LOCATION_2_0, APPLICATION_TYPE])),
    ipso(3337, 1, "Positioner", &[POSITIONER, EXTREMES, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3338, 1, "Buzzer", &[BUZZER, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3339, 0, "Audio Clip", &[AUDIO_CLIP, APPLICATION_TYPE]),
    ipso(3340, 0, "Timer", &[TIMER, APPLICATION_TYPE]),
    ipso(3341, 0, "Addressable Text Display", &[ADDRESSABLE_TEXT_DISPLAY, APPLICATION_TYPE]),
    ipso(3342, 1, "On/Off switch", &[SWITCH, TIMESTAMP, APPLICATION_TYPE, INPUT]),
    ipso(3343, 0, "Dimmer", &[DIMMER, APPLICATION_TYPE]),
    ipso(3344, 0, "Up/Down Control", &[UP_DOWN_CONTROL, APPLICATION_TYPE]),
    ipso(3345, 0, "Multiple Axis Joystick", &[JOYSTICK, APPLICATION_TYPE]),
    ipso(3346, 1, "Rate", CALIBRATED),
    ipso(3347, 1, "Push button", &[TIMESTAMP, APPLICATION_TYPE, INPUT]),
    ipso(3348, 1, "Multi-state Selector", &[MULTI_STATE_SELECTOR, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3349, 1, "Bitmap", &[BITMAP, TIMESTAMP, APPLICATION_TYPE]),
    ipso(3350, 1, "Stopwatch", &[STOPWATCH, QUALITY, TIMESTAMP, APPLICATION_TYPE]),
];

/// Objects that measure one number.
const MEASURED: &[Rows] = &[EXTREMES, MEASURING_RANGE, VALUE, QUALITY, TIMESTAMP, APPLICATION_TYPE_SINCE_1_1];

/// Those that can be calibrated.
const CALIBRATED: &[Rows] = &[EXTREMES, MEASURING_RANGE, VALUE, QUALITY, TIMESTAMP, APPLICATION_TYPE, CALIBRATION];

/// The smallest and largest value measured so far.
const EXTREMES: Rows = &[
    (5601, 0, R, ONE, MAY, FLOAT, "Min Measured Value", "", ""),
    (5602, 0, R, ONE, MAY, FLOAT, "Max Measured Value", "", ""),
    (5605, 0, E, ONE, MAY, NIL, "Reset Min and Max Measured Values", "", ""),
];

/// What the sensor can measure.
const MEASURING_RANGE: Rows = &[
    (5603, 0, R, ONE, MAY, FLOAT, "Min Range Value", "", ""),
    (5604, 0, R, ONE, MAY, FLOAT, "Max Range Value", "", ""),
];

/// A measured number and its unit.
const VALUE: Rows = &[
    (5700, 0, R, ONE, MUST, FLOAT, "Sensor Value", "", ""),
    (5701, 0, R, ONE, MAY, TEXT, "Sensor Units", "", ""),
];

const UNITS: Rows = &[(5701, 0, R, ONE, MAY, TEXT, "Sensor Units", "", "")];

/// How well something was measured, since 1.1.
const QUALITY: Rows = &[
    (6042, 1, R, ONE, MAY, INT, "Measurement Quality Indicator", "0..23", ""),
    (6049, 1, R, ONE, MAY, INT, "Measurement Quality Level", "0..100", ""),
];

/// When it happened, since 1.1.
const TIMESTAMP: Rows = &[
    (5518, 1, R, ONE, MAY, TIME, "Timestamp", "", ""),
    (6050, 1, R, ONE, MAY, FLOAT, "Fractional Timestamp", "0..1", "s"),
];

const APPLICATION_TYPE: Rows = &[(5750, 0, RW, ONE, MAY, TEXT, "Application Type", "", "")];

const APPLICATION_TYPE_SINCE_1_1: Rows = &[(5750, 1, RW, ONE, MAY, TEXT, "Application Type", "", "")];

const SENSOR_TYPE: Rows = &[(5751, 0, R, ONE, MAY, TEXT, "Sensor Type", "", "")];

const CALIBRATION: Rows = &[(5821, 0, RW, ONE, MAY, FLOAT, "Current Calibration", "", "")];

const AXES: Rows = &[
    (5702, 0, R, ONE, MUST, FLOAT, "X Value", "", ""),
    (5703, 0, R, ONE, MAY, FLOAT, "Y Value", "", ""),
    (5704, 0, R, ONE, MAY, FLOAT, "Z Value", "", ""),
];

const INPUT: Rows = &[
    (5500, 0, R, ONE, MUST, BOOL, "Digital Input State", "", ""),
    (5501, 0, R, ONE, MAY, INT, "Digital Input Counter", "", ""),
];

const POWER: Rows = &[
    (5805, 0, R, ONE, MAY, FLOAT, "Cumulative active power", "", "Wh"),
    (5820, 0, R, ONE, MAY, FLOAT, "Power factor", "", ""),
];

const ON_OFF_DIMMER: Rows = &[
    (5850, 0, RW, ONE, MUST, BOOL, "On/Off", "", ""),
    (5851, 0, RW, ONE, MAY, INT, "Dimmer", "0..100", "/100"),
    (5852, 0, RW, ONE, MAY, INT, "On time", "", "s"),
];

const DIGITAL_INPUT: Rows = &[
    (5502, 0, RW, ONE, MAY, BOOL, "Digital Input Polarity", "", ""),
    (5503, 0, RW, ONE, MAY, INT, "Digital Input Debounce", "", "ms"),
    (5504, 0, RW, ONE, MAY, INT, "Digital Input Edge Selection", "1..3", ""),
    (5505, 0, E, ONE, MAY, NIL, "Digital Input Counter Reset", "", ""),
];

const DIGITAL_OUTPUT: Rows = &[
    (5550, 0, RW, ONE, MUST, BOOL, "Digital Output State", "", ""),
    (5551, 0, RW, ONE, MAY, BOOL, "Digital Output Polarity", "", ""),
];

const ANALOG_INPUT: Rows = &[
    (5600, 0, R, ONE, MUST, FLOAT, "Analog Input Current Value", "", ""),
];

const ANALOG_OUTPUT: Rows = &[
    (5650, 0, RW, ONE, MUST, FLOAT, "Analog Output Current Value", "0..1", ""),
];

const PRESENCE: Rows = &[
    (5505, 0, E, ONE, MAY, NIL, "Digital Input Counter Reset", "", ""),
    (5903, 0, RW, ONE, MAY, INT, "Busy to Clear delay", "", "ms"),
    (5904, 0, RW, ONE, MAY, INT, "Clear to Busy delay", "", "ms"),
];

const POWER_MEASUREMENT: Rows = &[
    (5605, 0, E, ONE, MAY, NIL, "Reset Min and Max Measured Values", "", ""),
    (5800, 0, R, ONE, MUST, FLOAT, "Instantaneous active power", "", "W"),
    (5801, 0, R, ONE, MAY, FLOAT, "Min Measured active power", "", "W"),
    (5802, 0, R, ONE, MAY, FLOAT, "Max Measured active power", "", "W"),
    (5803, 0, R, ONE, MAY, FLOAT, "Min Range active power", "", "W"),
    (5804, 0, R, ONE, MAY, FLOAT, "Max Range active power", "", "W"),
    (5806, 0, W, ONE, MAY, FLOAT, "Active Power Calibration", "", "W"),
    (5810, 0, R, ONE, MAY, FLOAT, "Instantaneous reactive power", "", "var"),
    (5811, 0, R, ONE, MAY, FLOAT, "Min Measured reactive power", "", "var"),
    (5812, 0, R, ONE, MAY, FLOAT, "Max Measured reactive power", "", "var"),
    (5813, 0, R, ONE, MAY, FLOAT, "Min Range reactive power", "", "var"),
    (5814, 0, R, ONE, MAY, FLOAT, "Max Range reactive power", "", "var"),
    (5815, 0, R, ONE, MAY, FLOAT, "Cumulative reactive power", "", "varh"),
    (5816, 0, W, ONE, MAY, FLOAT, "Reactive Power Calibration", "", "var"),
    (5822, 0, E, ONE, MAY, NIL, "Reset Cumulative energy", "", ""),
];

const ACTUATION: Rows = &[
    (5853, 0, RW, ONE, MAY, TEXT, "Multi-state Output", "", ""),
];

const SET_POINT: Rows = &[
    (5706, 0, RW, ONE, MAY, TEXT, "Colour", "", ""),
    (5900, 0, RW, ONE, MUST, FLOAT, "Set Point Value", "", ""),
];

const LOAD_CONTROL: Rows = &[
    (5823, 0, RW, ONE, MUST, TEXT, "Event Identifier", "", ""),
    (5824, 0, RW, ONE, MUST, TIME, "Start Time", "", ""),
    (5825, 0, RW, ONE, MUST, INT, "Duration In Min", "", "min"),
    (5826, 0, RW, ONE, MAY, INT, "Criticality Level", "0..3", ""),
    (5827, 0, RW, ONE, MAY, INT, "Avg Load AdjPct", "0..100", "/100"),
    (5828, 0, RW, ONE, MAY, INT, "Duty Cycle", "0..100", "/100"),
];

const LIGHT_CONTROL: Rows = &[
    (5706, 0, RW, ONE, MAY, TEXT, "Colour", "", ""),
];

const MAGNETOMETER: Rows = &[
    (5705, 0, R, ONE, MAY, FLOAT, "Compass Direction", "0..360", "deg"),
];

const ENERGY: Rows = &[
    (5822, 0, E, ONE, MAY, NIL, "Reset Cumulative energy", "", ""),
];

const DIRECTION: Rows = &[
    (5705, 0, R, ONE, MUST, FLOAT, "Compass Direction", "0..360", "deg"),
];

const CLOCK: Rows = &[
    (5506, 0, RW, ONE, MUST, TIME, "Current Time", "", ""),
    (5507, 0, RW, ONE, MAY, FLOAT, "Fractional Time", "0..1", "s"),
];

const GYROMETER: Rows = &[
    (5508, 0, R, ONE, MAY, FLOAT, "Min X Value", "", ""),
    (5509, 0, R, ONE, MAY, FLOAT, "Max X Value", "", ""),
    (5510, 0, R, ONE, MAY, FLOAT, "Min Y Value", "", ""),
    (5511, 0, R, ONE, MAY, FLOAT, "Max Y Value", "", ""),
    (5512, 0, R, ONE, MAY, FLOAT, "Min Z Value", "", ""),
    (5513, 0, R, ONE, MAY, FLOAT, "Max Z Value", "", ""),
    (5605, 0, E, ONE, MAY, NIL, "Reset Min and Max Measured Values", "", ""),
];

const COLOUR: Rows = &[
    (5706, 0, RW, ONE, MUST, TEXT, "Colour", "", ""),
];

const LOCATION: Rows = &[
    (5514, 0, R, ONE, MUST, TEXT, "Latitude", "", ""),
    (5515, 0, R, ONE, MUST, TEXT, "Longitude", "", ""),
    (5516, 0, R, ONE, MAY, TEXT, "Uncertainty", "", ""),
    (5517, 0, R, ONE, MAY, OPAQUE, "Velocity", "", ""),
    (5518, 0, R, ONE, MAY, TIME, "Timestamp", "", ""),
    (5705, 0, R, ONE, MAY, FLOAT, "Compass Direction", "0..360", "deg"),
    (6050, 1, R, ONE, MAY, FLOAT, "Fractional Timestamp", "0..1", "s"),
];

const LOCATION_2_0: Rows = &[
    (5517, 0, R, ONE, MAY, OPAQUE, "Velocity", "", ""),
    (5518, 0, R, ONE, MAY, TIME, "Timestamp", "", ""),
    (5705, 0, R, ONE, MAY, FLOAT, "Compass Direction", "0..360", "deg"),
    (6042, 0, R, ONE, MAY, INT, "Measurement Quality Indicator", "0..23", ""),
    (6049, 0, R, ONE, MAY, INT, "Measurement Quality Level", "0..100", ""),
    (6050, 0, R, ONE, MAY, FLOAT, "Fractional Timestamp", "0..1", "s"),
    (6051, 0, R, ONE, MUST, FLOAT, "Numeric Latitude", "", "lat"),
    (6052, 0, R, ONE, MUST, FLOAT, "Numeric Longitude", "", "lon"),
    (6053, 0, R, ONE, MAY, FLOAT, "Numeric Uncertainty", "", "m"),
];

const POSITIONER: Rows = &[
    (5519, 0, R, ONE, MAY, FLOAT, "Min Limit", "", ""),
    (5520, 0, R, ONE, MAY, FLOAT, "Max Limit", "", ""),
    (5536, 0, RW, ONE, MUST, FLOAT, "Current Position", "0..100", "/100"),
    (5537, 0, RW, ONE, MAY, FLOAT, "Transition Time", "", "s"),
    (5538, 0, R, ONE, MAY, FLOAT, "Remaining Time", "", "s"),
];

const BUZZER: Rows = &[
    (5521, 0, RW, ONE, MAY, FLOAT, "Delay Duration", "", "s"),
    (5525, 0, RW, ONE, MUST, FLOAT, "Minimum Off-time", "", "s"),
    (5548, 0, RW, ONE, MAY, FLOAT, "Level", "0..100", "/100"),
    (5850, 0, RW, ONE, MUST, BOOL, "On/Off", "", ""),
];

const AUDIO_CLIP: Rows = &[
    (5522, 0, RW, ONE, MUST, OPAQUE, "Clip", "", ""),
    (5523, 0, E, ONE, MAY, NIL, "Trigger", "", ""),
    (5524, 0, RW, ONE, MAY, FLOAT, "Duration", "", "s"),
    (5548, 0, RW, ONE, MAY, FLOAT, "Level", "0..100", "/100"),
];

const TIMER: Rows = &[
    (5501, 0, R, ONE, MAY, INT, "Digital Input Counter", "", ""),
    (5521, 0, RW, ONE, MUST, FLOAT, "Delay Duration", "", "s"),
    (5523, 0, E, ONE, MAY, NIL, "Trigger", "", ""),
    (5525, 0, RW, ONE, MAY, FLOAT, "Minimum Off-time", "", "s"),
    (5526, 0, RW, ONE, MAY, INT, "Timer Mode", "0..4", ""),
    (5534, 0, RW, ONE, MAY, INT, "Counter", "", ""),
    (5538, 0, R, ONE, MAY, FLOAT, "Remaining Time", "", "s"),
    (5543, 0, R, ONE, MAY, BOOL, "Digital State", "", ""),
    (5544, 0, RW, ONE, MAY, FLOAT, "Cumulative Time", "", "s"),
    (5850, 0, RW, ONE, MAY, BOOL, "On/Off", "", ""),
];

const ADDRESSABLE_TEXT_DISPLAY: Rows = &[
    (5527, 0, RW, ONE, MUST, TEXT, "Text", "", ""),
    (5528, 0, RW, ONE, MAY, INT, "X Coordinate", "", ""),
    (5529, 0, RW, ONE, MAY, INT, "Y Coordinate", "", ""),
    (5530, 0, E, ONE, MAY, NIL, "Clear Display", "", ""),
    (5531, 0, RW, ONE, MAY, FLOAT, "Contrast", "0..100", "/100"),
    (5545, 0, R, ONE, MAY, INT, "Max X Coordinate", "", ""),
    (5546, 0, R, ONE, MAY, INT, "Max Y Coordinate", "", ""),
    (5548, 0, RW, ONE, MAY, FLOAT, "Level", "0..100", "/100"),
];

const SWITCH: Rows = &[
    (5852, 0, RW, ONE, MAY, INT, "On time", "", "s"),
    (5854, 0, RW, ONE, MAY, INT, "Off Time", "", "s"),
];

const DIMMER: Rows = &[
    (5548, 0, RW, ONE, MUST, FLOAT, "Level", "0..100", "/100"),
    (5852, 0, RW, ONE, MAY, INT, "On time", "", "s"),
    (5854, 0, RW, ONE, MAY, INT, "Off Time", "", "s"),
];

const UP_DOWN_CONTROL: Rows = &[
    (5532, 0, R, ONE, MUST, BOOL, "Increase Input State", "", ""),
    (5533, 0, R, ONE, MUST, BOOL, "Decrease Input State", "", ""),
    (5541, 0, RW, ONE, MAY, INT, "Up Counter", "", ""),
    (5542, 0, RW, ONE, MAY, INT, "Down Counter", "", ""),
];

const JOYSTICK: Rows = &[
    (5500, 0, R, ONE, MAY, BOOL, "Digital Input State", "", ""),
    (5501, 0, R, ONE, MAY, INT, "Digital Input Counter", "", ""),
    (5702, 0, R, ONE, MAY, FLOAT, "X Value", "", ""),
    (5703, 0, R, ONE, MAY, FLOAT, "Y Value", "", ""),
    (5704, 0, R, ONE, MAY, FLOAT, "Z Value", "", ""),
];

const MULTI_STATE_SELECTOR: Rows = &[
    (5547, 0, R, ONE, MUST, INT, "Multi-state Input", "", ""),
];

const BITMAP: Rows = &[
    (5910, 0, R, ONE, MUST, INT, "Bitmap Input", "", ""),
    (5911, 0, E, ONE, MAY, NIL, "Bitmap Input Reset", "", ""),
    (5912, 0, RW, MANY, MAY, TEXT, "Element Description", "", ""),
];

const STOPWATCH: Rows = &[
    (5501, 0, R, ONE, MAY, INT, "Digital Input Counter", "", ""),
    (5544, 0, RW, ONE, MUST, FLOAT, "Cumulative Time", "", "s"),
    (5850, 0, RW, ONE, MAY, BOOL, "On/Off", "", ""),
];

const fn ipso(id: ObjectId, newest: u8, name: &'static str, tables: &'static [Rows]) -> CoreObject {
    object(id, newest, MANY, MAY, name, tables)
}
