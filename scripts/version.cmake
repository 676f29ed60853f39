# Writes version.c, but only if it changed, so that nothing is rebuilt for nothing.
# usage: cmake -DSOURCE_DIR=.. -DOUTPUT=.. -DVERSION=.. -P version.cmake
cmake_minimum_required(VERSION 3.22)
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
    WORKING_DIRECTORY ${SOURCE_DIR} OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#include \"pipeline/version.h\"

const char program_version[] = \"@VERSION@\", program_commit[] = \"@commit@\";
" @ONLY)
