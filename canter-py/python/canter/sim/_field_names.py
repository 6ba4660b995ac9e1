"""Words that caproto has for fields of records, and the fields."""

from __future__ import annotations

_WORDS = """
access_security_group=ASG adjustment_offset=AOFF adjustment_slope=ASLO alarm_acknowledge_severity=ACKS
alarm_acknowledge_transient=ACKT alarm_deadband=HYST alarm_filter_time_constant=AFTC alarm_filter_value=AFVL
alarm_status=STAT archive_deadband=ADEL at_home=ATHM base_speed=SBAS base_velocity=VBAS bl_distance=BDST
bl_seconds_to_velocity=BACC bl_speed=SBAK bl_velocity=BVEL busy_indicator=BUSY calculation=CALC card_number=CARD
change_of_state_sevr=COSV change_of_state_svr=COSV code_version=VERS current_alarm_severity=SEVR
current_raw_value=RVAL dbputfield_process=PUTF derivative_gain=DCOF description=DESC desired_output_loc=DOL
device_type=DTYP dial_desired_value=DVAL dial_high_limit=DHLM dial_low_limit=DLLM dial_readback_value=DRBV
difference_dval_drbv=DIFF difference_rval_rrbv=RDIF direction_of_travel=TDIR disable=DISA
disable_alarm_severity=DISS disable_putfield=DISP disable_value=DISV display_precision=PREC dmov_input_link=DINP
done_moving_to_value=DMOV drive_high_limit=DRVH drive_low_limit=DRVL egu_s_per_revolution=UREV
egu_to_raw_offset=EOFF egu_to_raw_slope=ESLO eight_string=EIST eight_value=EIVL eleven_string=ELST
eleven_value=ELVL enable_control=CNEN encoder_step_size=ERES eng_units_full=EGUF eng_units_low=EGUL
engineer_units_full=EGUF engineer_units_low=EGUL engineering_units=EGU event_name=EVNT field_type_of_value=FTVL
fifteen_string=FFST fifteen_value=FFVL five_string=FVST five_value=FVVL forward_link=FLNK four_string=FRST
four_value=FRVL fourteen_string=FTST fourteen_value=FTVL freeze_offset=FOF hardware_mask=MASK
hash_of_onchange_data=HASH high_alarm_limit=HIGH high_operating_range=HOPR high_severity=HSV hihi_alarm_limit=HIHI
hihi_severity=HHSV home_forward=HOMF home_reverse=HOMR home_velocity=HVEL hw_limit_violation_svr=HLSV
ignore_set_field=IGSET initialized=INIT input_a=INPA input_b=INPB input_c=INPC input_d=INPD input_e=INPE
input_f=INPF input_g=INPG input_h=INPH input_i=INPI input_j=INPJ input_k=INPK input_l=INPL input_specification=INP
integral_gain=ICOF invalid_outpt_action=IVOA invalid_output_action=IVOA invalid_output_value=IVOV jog_accel=JAR
jog_motor_forward=JOGF jog_motor_reverse=JOGR jog_velocity=JVEL last_dial_des_val=LDVL last_raw_des_val=LRVL
last_rel_value=LRLV last_spmg=LSPG last_user_des_val=LVAL last_val_monitored=MLST last_value_alarmed=LALM
last_value_archived=ALST last_value_monitored=MLST lastbreak_point=LBRK limit_violation=LVIO linearization=LINR
lock_count=LCNT lolo_alarm_limit=LOLO lolo_severity=LLSV low_alarm_limit=LOW low_operating_range=LOPR
low_severity=LSV max_retry_count=RTRY max_speed=SMAX max_velocity=VMAX monitor_deadband=MDEL monitor_mask=MMAP
monitor_mask_more=NMAP motion_in_progress=MIP motor_is_moving=MOVN motor_status=MSTA motor_step_size=MRES
move_fraction=FRAC new_alarm_severity=NSEV new_alarm_status=NSTA new_target_monitor=NTM nine_string=NIST
nine_value=NIVL ntm_deadband_factor=NTMF number_elements_read=NORD number_of_bits=NOBT number_of_elements=NELM
offset_freeze_switch=FOFF one_error_severity=OSV one_name=ONAM one_string=ONST one_value=ONVL
out_full_incremental=OIF output_mode_select=OMSL output_rate_of_change=OROC output_specification=OUT
output_value=OVAL post_archive_monitors=APST post_move_commands=POST post_process_command=PP
post_value_monitors=MPST pre_move_commands=PREM prev_raw_value=ORAW prev_readback_value=ORBV
prev_simulation_mode=OLDSIMM prev_value_of_a=LA prev_value_of_b=LB prev_value_of_c=LC prev_value_of_d=LD
prev_value_of_e=LE prev_value_of_f=LF prev_value_of_g=LG prev_value_of_h=LH prev_value_of_i=LI prev_value_of_j=LJ
prev_value_of_k=LK prev_value_of_l=LL previous_raw_value=ORAW previous_value=OVAL process_at_iocinit=PINI
process_record=PROC proportional_gain=PCOF ran_out_of_retries=MISS raw_cmnd_direction=CDIR raw_desired_value=RVAL
raw_encoder_position=REP raw_high_limit_switch=RHLS raw_low_limit_switch=RLLS raw_motor_position=RMP
raw_offset=ROFF raw_readback_value=RRBV raw_to_egu_offset=EOFF raw_to_egu_slope=ESLO raw_value=RVAL
raw_velocity=RVEL readback_location=RDBL readback_outlink=RLNK readback_settle_time=DLY readback_step_size=RRES
readback_value=RBV rearm_the_waveform=RARM record_active=PACT record_name=NAME record_type=RTYP relative_value=RLV
reprocess=RPRO retry_count=RCNT retry_deadband=RDBD retry_mode=RMOD rmp_input_link=RINP scan_phase=PHAS
scan_rate=SCAN scanning_disable=SDIS scheduling_priority=PRIO seconds_to_hold_high=HIGH seconds_to_velocity=ACCL
set_set_mode=SSET set_use_mode=SUSE set_use_switch=SET setpoint_deadband=SPDB seven_string=SVST seven_value=SVVL
shift=SHFT sim_input_specifctn=SIOL sim_mode_alarm_svrty=SIMS sim_mode_async_delay=SDLY sim_mode_location=SIML
sim_mode_scan=SSCN sim_output_specifctn=SIOL simulation_input_link=SIOL simulation_mode=SIMM
simulation_mode_link=SIML simulation_mode_severity=SIMS simulation_output_link=SIOL simulation_value=SVAL
six_string=SXST six_value=SXVL smoothing=SMOO soft_channel_position_lock=LOCK speed=S startup_commands=INIT
state_eight_severity=EISV state_eleven_severity=ELSV state_fifteen_severity=FFSV state_fifteen_sevr=FFSV
state_five_severity=FVSV state_four_severity=FRSV state_fourteen_sevr=FTSV state_nine_severity=NISV
state_one_severity=ONSV state_seven_severity=SVSV state_six_severity=SXSV state_ten_severity=TESV
state_thirteen_sevr=TTSV state_three_severity=THSV state_twelve_severity=TVSV state_two_severity=TWSV
state_zero_severity=ZRSV states_defined=SDEF status_update=STUP steps_per_revolution=SREV stop=STOP
stop_outlink=STOO stop_pause_move_go=SPMG sync_position=SYNC ten_string=TEST ten_value=TEVL thirteen_string=TTST
thirteen_value=TTVL three_string=THST three_value=THVL time_stamp_event=TSE time_stamp_link=TSEL
trace_processing=TPRO tweak_motor_forward=TWF tweak_motor_reverse=TWR tweak_step_size=TWV twelve_string=TVST
twelve_value=TVVL two_string=TWST two_value=TWVL undefined=UDF undefined_alarm_severity=UDFS units_name=EGU
unknown_state_severity=UNSV unknown_state_sevr=UNSV use_encoder_if_present=UEIP use_rdbl_link_if_presen=URIP
user_direction=DIR user_high_limit=HLM user_high_limit_switch=HLS user_low_limit=LLM user_low_limit_switch=LLS
user_offset=OFF user_readback_value=RBV value_of_input_a=A value_of_input_b=B value_of_input_c=C
value_of_input_d=D value_of_input_e=E value_of_input_f=F value_of_input_g=G value_of_input_h=H value_of_input_i=I
value_of_input_j=J value_of_input_k=K value_of_input_l=L variable_offset=VOF velocity=VELO was_oval_modified=OMOD
zero_error_severity=ZSV zero_name=ZNAM zero_string=ZRST zero_value=ZRVL
"""

#: Of the records for analogue, binary, whole and text values, arrays, calculations and motors.
FIELD_NAMES: dict[str, str] = dict(pair.split("=") for pair in _WORDS.split())  # type: ignore[misc]
