package web

import "net/http"

// workRoutes are the pages of the work of fixing.
func (s *server) workRoutes(mux *http.ServeMux) {
	mux.Handle("GET /work", s.page(s.board))
	mux.Handle("GET /work/{id}", s.page(s.workCase))
	mux.Handle("POST /work/{id}", s.page(s.changeCase))
	mux.Handle("GET /work/{id}/letter", s.page(s.caseLetter))
	mux.Handle("POST /domain/{name}/source/{id}/word", s.page(s.word))
	if s.Work.Timeline != nil {
		mux.Handle("GET /domain/{name}/timeline", s.page(s.timeline))
	}
	if s.Work.Inventory != nil {
		mux.Handle("GET /domain/{name}/inventory", s.page(s.inventory))
		mux.Handle("POST /domain/{name}/inventory", s.page(s.loadNames))
	}
	if s.Work.Monthly != nil {
		mux.Handle("GET /domain/{name}/monthly", s.page(s.monthly))
		mux.Handle("GET /domain/{name}/monthly.pdf", s.page(s.monthlyPDF))
	}
	mux.Handle("GET /departments", s.page(s.departments))
	mux.Handle("POST /departments", s.page(s.addDepartment))
	mux.Handle("GET /departments/{id}", s.page(s.department))
	mux.Handle("POST /departments/{id}", s.page(s.editDepartment))
	mux.Handle("POST /departments/{id}/remove", s.page(s.removeDepartment))
	mux.Handle("POST /departments/{id}/parts", s.page(s.assignPart))
	mux.Handle("POST /departments/{id}/links", s.page(s.makeLink))
	mux.Handle("POST /departments/{id}/links/{link}/revoke", s.page(s.revokeLink))
}
