/* The parts of report.html that are the same in every report. */
#ifndef STUDY_REPORT_PAGE_TEXT_H
#define STUDY_REPORT_PAGE_TEXT_H

extern const char report_page_style[], report_page_script[];

#endif
