//! The menus of EPICS Base: their choices in order of their numbers.
//!
//! Facts of the `.dbd` files of EPICS Base 7.0.10. A site's `.dbd` may replace a menu (`menuScan`,
//! `menuConvert`), so that record types name their menus, and a [`Schema`](super::Schema) has them.

/// Name of a menu, and of each choice its identifier and text.
pub(crate) type MenuDef = (&'static str, &'static [(&'static str, &'static str)]);

/// All menus of the record types of EPICS Base.
pub(crate) const MENUS: &[MenuDef] = &[
    (
        "aSubEFLG",
        &[
            ("aSubEFLG_NEVER", "NEVER"),
            ("aSubEFLG_ON_CHANGE", "ON CHANGE"),
            ("aSubEFLG_ALWAYS", "ALWAYS"),
        ],
    ),
    (
        "aSubLFLG",
        &[("aSubLFLG_IGNORE", "IGNORE"), ("aSubLFLG_READ", "READ")],
    ),
    (
        "aaiPOST",
        &[
            ("aaiPOST_Always", "Always"),
            ("aaiPOST_OnChange", "On Change"),
        ],
    ),
    (
        "aaoPOST",
        &[
            ("aaoPOST_Always", "Always"),
            ("aaoPOST_OnChange", "On Change"),
        ],
    ),
    (
        "aoOIF",
        &[("aoOIF_Full", "Full"), ("aoOIF_Incremental", "Incremental")],
    ),
    (
        "bufferingALG",
        &[
            ("bufferingALG_FIFO", "FIFO Buffer"),
            ("bufferingALG_LIFO", "LIFO Buffer"),
        ],
    ),
    (
        "calcoutDOPT",
        &[
            ("calcoutDOPT_Use_VAL", "Use CALC"),
            ("calcoutDOPT_Use_OVAL", "Use OCAL"),
        ],
    ),
    (
        "calcoutINAV",
        &[
            ("calcoutINAV_EXT_NC", "Ext PV NC"),
            ("calcoutINAV_EXT", "Ext PV OK"),
            ("calcoutINAV_LOC", "Local PV"),
            ("calcoutINAV_CON", "Constant"),
        ],
    ),
    (
        "calcoutOOPT",
        &[
            ("calcoutOOPT_Every_Time", "Every Time"),
            ("calcoutOOPT_On_Change", "On Change"),
            ("calcoutOOPT_When_Zero", "When Zero"),
            ("calcoutOOPT_When_Non_zero", "When Non-zero"),
            ("calcoutOOPT_Transition_To_Zero", "Transition To Zero"),
            (
                "calcoutOOPT_Transition_To_Non_zero",
                "Transition To Non-zero",
            ),
        ],
    ),
    (
        "compressALG",
        &[
            ("compressALG_N_to_1_Low_Value", "N to 1 Low Value"),
            ("compressALG_N_to_1_High_Value", "N to 1 High Value"),
            ("compressALG_N_to_1_Average", "N to 1 Average"),
            ("compressALG_Average", "Average"),
            ("compressALG_Circular_Buffer", "Circular Buffer"),
            ("compressALG_N_to_1_Median", "N to 1 Median"),
        ],
    ),
    (
        "dfanoutSELM",
        &[
            ("dfanoutSELM_All", "All"),
            ("dfanoutSELM_Specified", "Specified"),
            ("dfanoutSELM_Mask", "Mask"),
        ],
    ),
    (
        "fanoutSELM",
        &[
            ("fanoutSELM_All", "All"),
            ("fanoutSELM_Specified", "Specified"),
            ("fanoutSELM_Mask", "Mask"),
        ],
    ),
    (
        "histogramCMD",
        &[
            ("histogramCMD_Read", "Read"),
            ("histogramCMD_Clear", "Clear"),
            ("histogramCMD_Start", "Start"),
            ("histogramCMD_Stop", "Stop"),
        ],
    ),
    (
        "longoutOOPT",
        &[
            ("longoutOOPT_Every_Time", "Every Time"),
            ("longoutOOPT_On_Change", "On Change"),
            ("longoutOOPT_When_Zero", "When Zero"),
            ("longoutOOPT_When_Non_zero", "When Non-zero"),
            ("longoutOOPT_Transition_To_Zero", "Transition To Zero"),
            (
                "longoutOOPT_Transition_To_Non_zero",
                "Transition To Non-zero",
            ),
        ],
    ),
    (
        "menuAlarmSevr",
        &[
            ("menuAlarmSevrNO_ALARM", "NO_ALARM"),
            ("menuAlarmSevrMINOR", "MINOR"),
            ("menuAlarmSevrMAJOR", "MAJOR"),
            ("menuAlarmSevrINVALID", "INVALID"),
        ],
    ),
    (
        "menuAlarmStat",
        &[
            ("menuAlarmStatNO_ALARM", "NO_ALARM"),
            ("menuAlarmStatREAD", "READ"),
            ("menuAlarmStatWRITE", "WRITE"),
            ("menuAlarmStatHIHI", "HIHI"),
            ("menuAlarmStatHIGH", "HIGH"),
            ("menuAlarmStatLOLO", "LOLO"),
            ("menuAlarmStatLOW", "LOW"),
            ("menuAlarmStatSTATE", "STATE"),
            ("menuAlarmStatCOS", "COS"),
            ("menuAlarmStatCOMM", "COMM"),
            ("menuAlarmStatTIMEOUT", "TIMEOUT"),
            ("menuAlarmStatHWLIMIT", "HWLIMIT"),
            ("menuAlarmStatCALC", "CALC"),
            ("menuAlarmStatSCAN", "SCAN"),
            ("menuAlarmStatLINK", "LINK"),
            ("menuAlarmStatSOFT", "SOFT"),
            ("menuAlarmStatBAD_SUB", "BAD_SUB"),
            ("menuAlarmStatUDF", "UDF"),
            ("menuAlarmStatDISABLE", "DISABLE"),
            ("menuAlarmStatSIMM", "SIMM"),
            ("menuAlarmStatREAD_ACCESS", "READ_ACCESS"),
            ("menuAlarmStatWRITE_ACCESS", "WRITE_ACCESS"),
        ],
    ),
    (
        "menuConvert",
        &[
            ("menuConvertNO_CONVERSION", "NO CONVERSION"),
            ("menuConvertSLOPE", "SLOPE"),
            ("menuConvertLINEAR", "LINEAR"),
            ("menuConverttypeKdegF", "typeKdegF"),
            ("menuConverttypeKdegC", "typeKdegC"),
            ("menuConverttypeJdegF", "typeJdegF"),
            ("menuConverttypeJdegC", "typeJdegC"),
            ("menuConverttypeEdegF", "typeEdegF(ixe only)"),
            ("menuConverttypeEdegC", "typeEdegC(ixe only)"),
            ("menuConverttypeTdegF", "typeTdegF"),
            ("menuConverttypeTdegC", "typeTdegC"),
            ("menuConverttypeRdegF", "typeRdegF"),
            ("menuConverttypeRdegC", "typeRdegC"),
            ("menuConverttypeSdegF", "typeSdegF"),
            ("menuConverttypeSdegC", "typeSdegC"),
        ],
    ),
    (
        "menuFtype",
        &[
            ("menuFtypeSTRING", "STRING"),
            ("menuFtypeCHAR", "CHAR"),
            ("menuFtypeUCHAR", "UCHAR"),
            ("menuFtypeSHORT", "SHORT"),
            ("menuFtypeUSHORT", "USHORT"),
            ("menuFtypeLONG", "LONG"),
            ("menuFtypeULONG", "ULONG"),
            ("menuFtypeINT64", "INT64"),
            ("menuFtypeUINT64", "UINT64"),
            ("menuFtypeFLOAT", "FLOAT"),
            ("menuFtypeDOUBLE", "DOUBLE"),
            ("menuFtypeENUM", "ENUM"),
        ],
    ),
    (
        "menuIvoa",
        &[
            ("menuIvoaContinue_normally", "Continue normally"),
            ("menuIvoaDon_t_drive_outputs", "Don't drive outputs"),
            ("menuIvoaSet_output_to_IVOV", "Set output to IVOV"),
        ],
    ),
    (
        "menuOmsl",
        &[
            ("menuOmslsupervisory", "supervisory"),
            ("menuOmslclosed_loop", "closed_loop"),
        ],
    ),
    (
        "menuPini",
        &[
            ("menuPiniNO", "NO"),
            ("menuPiniYES", "YES"),
            ("menuPiniRUN", "RUN"),
            ("menuPiniRUNNING", "RUNNING"),
            ("menuPiniPAUSE", "PAUSE"),
            ("menuPiniPAUSED", "PAUSED"),
        ],
    ),
    (
        "menuPost",
        &[
            ("menuPost_OnChange", "On Change"),
            ("menuPost_Always", "Always"),
        ],
    ),
    (
        "menuPriority",
        &[
            ("menuPriorityLOW", "LOW"),
            ("menuPriorityMEDIUM", "MEDIUM"),
            ("menuPriorityHIGH", "HIGH"),
        ],
    ),
    (
        "menuScan",
        &[
            ("menuScanPassive", "Passive"),
            ("menuScanEvent", "Event"),
            ("menuScanI_O_Intr", "I/O Intr"),
            ("menuScan10_second", "10 second"),
            ("menuScan5_second", "5 second"),
            ("menuScan2_second", "2 second"),
            ("menuScan1_second", "1 second"),
            ("menuScan_5_second", ".5 second"),
            ("menuScan_2_second", ".2 second"),
            ("menuScan_1_second", ".1 second"),
        ],
    ),
    (
        "menuSimm",
        &[
            ("menuSimmNO", "NO"),
            ("menuSimmYES", "YES"),
            ("menuSimmRAW", "RAW"),
        ],
    ),
    (
        "menuYesNo",
        &[("menuYesNoNO", "NO"), ("menuYesNoYES", "YES")],
    ),
    (
        "selSELM",
        &[
            ("selSELM_Specified", "Specified"),
            ("selSELM_High_Signal", "High Signal"),
            ("selSELM_Low_Signal", "Low Signal"),
            ("selSELM_Median_Signal", "Median Signal"),
        ],
    ),
    (
        "seqSELM",
        &[
            ("seqSELM_All", "All"),
            ("seqSELM_Specified", "Specified"),
            ("seqSELM_Mask", "Mask"),
        ],
    ),
    (
        "stringinPOST",
        &[
            ("stringinPOST_OnChange", "On Change"),
            ("stringinPOST_Always", "Always"),
        ],
    ),
    (
        "stringoutPOST",
        &[
            ("stringoutPOST_OnChange", "On Change"),
            ("stringoutPOST_Always", "Always"),
        ],
    ),
    (
        "waveformPOST",
        &[
            ("waveformPOST_Always", "Always"),
            ("waveformPOST_OnChange", "On Change"),
        ],
    ),
    (
        "motorDIR",
        &[("motorDIR_Pos", "Pos"), ("motorDIR_Neg", "Neg")],
    ),
    (
        "motorSET",
        &[("motorSET_Use", "Use"), ("motorSET_Set", "Set")],
    ),
    (
        "motorMODE",
        &[
            ("motorMODE_Position", "Position"),
            ("motorMODE_Velocity", "Velocity"),
        ],
    ),
    (
        "motorUEIP",
        &[("motorUEIP_No", "No"), ("motorUEIP_Yes", "Yes")],
    ),
    (
        "motorSPMG",
        &[
            ("motorSPMG_Stop", "Stop"),
            ("motorSPMG_Pause", "Pause"),
            ("motorSPMG_Move", "Move"),
            ("motorSPMG_Go", "Go"),
        ],
    ),
    (
        "motorFOFF",
        &[
            ("motorFOFF_Variable", "Variable"),
            ("motorFOFF_Frozen", "Frozen"),
        ],
    ),
    (
        "motorTORQ",
        &[
            ("motorTORQ_Disable", "Disable"),
            ("motorTORQ_Enable", "Enable"),
        ],
    ),
    (
        "motorSTUP",
        &[
            ("motorSTUP_OFF", "OFF"),
            ("motorSTUP_ON", "ON"),
            ("motorSTUP_BUSY", "BUSY"),
        ],
    ),
    (
        "motorRMOD",
        &[
            ("motorRMOD_D", "Default"),
            ("motorRMOD_A", "Arithmetic"),
            ("motorRMOD_G", "Geometric"),
            ("motorRMOD_I", "In-Position"),
        ],
    ),
    (
        "motorRSTM",
        &[
            ("motorRSTM_Never", "Never"),
            ("motorRSTM_Always", "Always"),
            ("motorRSTM_NearZero", "NearZero"),
            ("motorRSTM_Conditional", "Conditional"),
        ],
    ),
    (
        "motorACCU",
        &[
            ("motorACCU_Accl", "Use ACCL"),
            ("motorACCU_Accs", "Use ACCS"),
        ],
    ),
    (
        "swaitOOPT",
        &[
            ("swaitOOPT_Every_Time", "Every Time"),
            ("swaitOOPT_On_Change", "On Change"),
            ("swaitOOPT_When_Zero", "When Zero"),
            ("swaitOOPT_When_Non_zero", "When Non-zero"),
            ("swaitOOPT_Transition_To_Zero", "Transition To Zero"),
            ("swaitOOPT_Transition_To_Non_zero", "Transition To Non-zero"),
            ("swaitOOPT_Never", "Never"),
        ],
    ),
    (
        "swaitDOPT",
        &[
            ("swaitDOPT_Use_VAL", "Use VAL"),
            ("swaitDOPT_Use_DOL", "Use DOL"),
        ],
    ),
    (
        "swaitINAP",
        &[("swaitINAP_No", "No"), ("swaitINAP_Yes", "Yes")],
    ),
    (
        "swaitINAV",
        &[
            ("swaitINAV_PV_OK", "PV OK"),
            ("swaitINAV_PV_BAD", "PV BAD"),
            ("swaitINAV_No_PV", "No PV"),
        ],
    ),
    (
        "transformIAV",
        &[
            ("transformIAV_EXT_NC", "Ext PV NC"),
            ("transformIAV_EXT", "Ext PV OK"),
            ("transformIAV_LOC", "Local PV"),
            ("transformIAV_CON", "Constant"),
        ],
    ),
    (
        "transformIVLA",
        &[
            ("transformIVLA_IGNORE", "Ignore error"),
            ("transformIVLA_DO_NOTHING", "Do Nothing"),
        ],
    ),
    (
        "transformCOPT",
        &[
            ("transformCOPT_CONDITIONAL", "Conditional"),
            ("transformCOPT_ALWAYS", "Always"),
        ],
    ),
    (
        "sseqSELM",
        &[
            ("sseqSELM_All", "All"),
            ("sseqSELM_Specified", "Specified"),
            ("sseqSELM_Mask", "Mask"),
        ],
    ),
    (
        "sseqWAIT",
        &[
            ("sseqWAIT_NoWait", "NoWait"),
            ("sseqWAIT_Wait", "Wait"),
            ("sseqWAIT_Wait1", "After1"),
            ("sseqWAIT_Wait2", "After2"),
            ("sseqWAIT_Wait3", "After3"),
            ("sseqWAIT_Wait4", "After4"),
            ("sseqWAIT_Wait5", "After5"),
            ("sseqWAIT_Wait6", "After6"),
            ("sseqWAIT_Wait7", "After7"),
            ("sseqWAIT_Wait8", "After8"),
            ("sseqWAIT_Wait9", "After9"),
            ("sseqWAIT_Wait10", "AfterA"),
        ],
    ),
    (
        "sseqLNKV",
        &[
            ("sseqLNKV_EXT_NC", "Ext PV NC"),
            ("sseqLNKV_EXT", "Ext PV OK"),
            ("sseqLNKV_LOC", "Local PV"),
            ("sseqLNKV_CON", "Constant"),
        ],
    ),
    (
        "scalerCNT",
        &[("scalerCNT_Done", "Done"), ("scalerCNT_Count", "Count")],
    ),
    (
        "scalerCONT",
        &[
            ("scalerCONT_OneShot", "OneShot"),
            ("scalerCONT_AutoCount", "AutoCount"),
        ],
    ),
    ("scalerD1", &[("scalerD1_Up", "Up"), ("scalerD1_Dn", "Dn")]),
    ("scalerG1", &[("scalerG1_N", "N"), ("scalerG1_Y", "Y")]),
    (
        "timestampTST",
        &[
            ("timestampTST_YY_MM_DD_HH_MM_SS", "YY/MM/DD HH:MM:SS"),
            ("timestampTST_MM_DD_YY_HH_MM_SS", "MM/DD/YY HH:MM:SS"),
            ("timestampTST_MM_DD_HH_MM_SS_YY", "Mon DD HH:MM:SS YY"),
            ("timestampTST_MM_DD_HH_MM_SS", "Mon DD HH:MM:SS"),
            ("timestampTST_HH_MM_SS", "HH:MM:SS"),
            ("timestampTST_HH_MM", "HH:MM"),
            ("timestampTST_DD_MM_YY_HH_MM_SS", "DD/MM/YY HH:MM:SS"),
            ("timestampTST_DD_MM_HH_MM_SS_YY", "DD Mon HH:MM:SS YY"),
            ("timestampTST_VMS", "DD-Mon-YYYY HH:MM:SS"),
            ("timestampTST_MM_DD_YYYY", "Mon DD, YYYY HH:MM:SS.ns"),
            ("timestampTST_MM_DD_YY", "MM/DD/YY HH:MM:SS.ns"),
        ],
    ),
    (
        "epidFeedbackState",
        &[
            ("epidFeedbackState_Off", "Off"),
            ("epidFeedbackState_On", "On"),
        ],
    ),
    (
        "epidFeedbackMode",
        &[
            ("epidFeedbackMode_PID", "PID"),
            ("epidFeedbackMode_MaxMin", "Max/Min"),
        ],
    ),
    (
        "acalcoutOOPT",
        &[
            ("acalcoutOOPT_Every_Time", "Every Time"),
            ("acalcoutOOPT_On_Change", "On Change"),
            ("acalcoutOOPT_When_Zero", "When Zero"),
            ("acalcoutOOPT_When_Non_zero", "When Non-zero"),
            ("acalcoutOOPT_Transition_To_Zero", "Transition To Zero"),
            (
                "acalcoutOOPT_Transition_To_Non_zero",
                "Transition To Non-zero",
            ),
            ("acalcoutOOPT_Never", "Never"),
        ],
    ),
    (
        "acalcoutDOPT",
        &[
            ("acalcoutDOPT_Use_VAL", "Use CALC"),
            ("acalcoutDOPT_Use_OVAL", "Use OCAL"),
        ],
    ),
    (
        "acalcoutINAP",
        &[
            ("acalcoutINAP_No", "No PROC on Change"),
            ("acalcoutINAP_Yes", "PROC on Change"),
        ],
    ),
    (
        "acalcoutINAV",
        &[
            ("acalcoutINAV_EXT_NC", "Ext PV NC"),
            ("acalcoutINAV_EXT", "Ext PV OK"),
            ("acalcoutINAV_LOC", "Local PV"),
            ("acalcoutINAV_CON", "Constant"),
        ],
    ),
    (
        "acalcoutWAIT",
        &[
            ("acalcoutWAIT_NoWait", "NoWait"),
            ("acalcoutWAIT_Wait", "Wait"),
        ],
    ),
    (
        "acalcoutSIZE",
        &[("acalcoutSIZE_NELM", "NELM"), ("acalcoutSIZE_NUSE", "NUSE")],
    ),
    (
        "scalcoutOOPT",
        &[
            ("scalcoutOOPT_Every_Time", "Every Time"),
            ("scalcoutOOPT_On_Change", "On Change"),
            ("scalcoutOOPT_When_Zero", "When Zero"),
            ("scalcoutOOPT_When_Non_zero", "When Non-zero"),
            ("scalcoutOOPT_Transition_To_Zero", "Transition To Zero"),
            (
                "scalcoutOOPT_Transition_To_Non_zero",
                "Transition To Non-zero",
            ),
            ("scalcoutOOPT_Never", "Never"),
        ],
    ),
    (
        "scalcoutDOPT",
        &[
            ("scalcoutDOPT_Use_VAL", "Use CALC"),
            ("scalcoutDOPT_Use_OVAL", "Use OCAL"),
        ],
    ),
    (
        "scalcoutINAP",
        &[
            ("scalcoutINAP_No", "No PROC on Change"),
            ("scalcoutINAP_Yes", "PROC on Change"),
        ],
    ),
    (
        "scalcoutINAV",
        &[
            ("scalcoutINAV_EXT_NC", "Ext PV NC"),
            ("scalcoutINAV_EXT", "Ext PV OK"),
            ("scalcoutINAV_LOC", "Local PV"),
            ("scalcoutINAV_CON", "Constant"),
        ],
    ),
    (
        "scalcoutWAIT",
        &[
            ("scalcoutWAIT_NoWait", "NoWait"),
            ("scalcoutWAIT_Wait", "Wait"),
        ],
    ),
    (
        "throttleWAIT",
        &[
            ("throttleWAIT_FALSE", "False"),
            ("throttleWAIT_TRUE", "True"),
        ],
    ),
    (
        "throttleDRVLS",
        &[
            ("throttleDRVLS_NORM", "Normal"),
            ("throttleDRVLS_LOW", "Low Limit"),
            ("throttleDRVLS_HIGH", "High Limit"),
        ],
    ),
    (
        "throttleSTS",
        &[
            ("throttleSTS_UNK", "Unknown"),
            ("throttleSTS_ERR", "Error"),
            ("throttleSTS_SUC", "Success"),
        ],
    ),
    (
        "throttleOV",
        &[
            ("throttleOV_EXT_NC", "Ext PV NC"),
            ("throttleOV_EXT", "Ext PV OK"),
            ("throttleOV_LOC", "Local PV"),
            ("throttleOV_CON", "Constant"),
        ],
    ),
    (
        "throttleDRVLC",
        &[("throttleDRVLC_OFF", "Off"), ("throttleDRVLC_ON", "On")],
    ),
    (
        "throttleSYNC",
        &[
            ("throttleSYNC_IDLE", "Idle"),
            ("throttleSYNC_PROC", "Process"),
        ],
    ),
];
